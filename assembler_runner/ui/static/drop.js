// <file-drop>: files, folders and archives that are dropped or chosen. Sends the event "files" with [{path, file}].

const noise = /(^|\/)(\.git|node_modules|__pycache__|\.venv|venv|\.mypy_cache|\.DS_Store)(\/|$)/;
const archives = /\.(zip|tar|tar\.gz|tgz|tar\.zst)$/i;

async function walk(entry, found) {
  if (noise.test(entry.fullPath)) return;
  if (entry.isFile) {
    found.push({ path: entry.fullPath.replace(/^\//, ""), file: await new Promise((done, fail) => entry.file(done, fail)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return;
    for (const each of some) await walk(each, found);
  }
}

// Takes away the folder that holds everything.
function withoutFolder(found) {
  const tops = new Set(found.map(({ path }) => path.split("/")[0]));
  if (tops.size !== 1 || found.some(({ path }) => !path.includes("/"))) return found;
  return found.map(({ path, file }) => ({ path: path.slice(path.indexOf("/") + 1), file }));
}

class FileDrop extends HTMLElement {
  connectedCallback() {
    const invite = this.querySelector("[data-part=invite]");
    if (invite) invite.textContent = this.dataset.over;
    for (const name of ["dragenter", "dragover"]) this.addEventListener(name, (event) => { event.preventDefault(); this.classList.add("over"); });
    for (const name of ["dragleave", "drop"]) this.addEventListener(name, () => this.classList.remove("over"));
    this.addEventListener("drop", (event) => { event.preventDefault(); this.#dropped(event.dataTransfer); });
    this.addEventListener("change", (event) => {
      const input = event.target;
      if (!(input instanceof HTMLInputElement) || input.type !== "file") return;
      this.#send([...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
      if (this.hasAttribute("takes")) input.value = "";
    });
  }

  async #dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const found = [];
    const plain = [...transfer.files].map((file) => ({ path: file.name, file }));
    for (const entry of entries) await walk(entry, found);
    this.#send(entries.length ? found : plain);
  }

  #send(found) {
    const kept = withoutFolder(found.filter(({ path }) => !noise.test(path)));
    const archive = kept.length === 1 && archives.test(kept[0].path) ? kept[0].file : null;
    this.dispatchEvent(new CustomEvent("files", { bubbles: true, detail: { files: archive ? [] : kept, archive } }));
  }
}
customElements.define("file-drop", FileDrop);

export async function textOf(file) {
  if (file.size > 200_000) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? null : text;
  } catch { return null; }
}
