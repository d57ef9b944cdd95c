// The form of a new Space: files in tabs, a preview as one types, drafts. Without it the same form is sent as it is.

import { editable } from "./editor.js";
import { textOf } from "./drop.js";
import { readPage, replacePart } from "./page.js";

const form = document.getElementById("new-space");
const part = (name) => form.querySelector(`[data-part=${name}]`);
const drop = form.querySelector("file-drop");
const tabs = form.querySelector("[role=tablist]");
const key = "assembler-draft-new";
const small = 4_000_000;

const files = new Map(); // path → {text} or {file}
let archive = null, open = null, editor = null, waiting = null, running = false, again = null, missing = [];

// --- Files and tabs --------------------------------------------------------------------------------------------------

function begin() {
  drop.setAttribute("takes", "");
  for (const area of form.querySelectorAll("textarea[data-file]")) files.set(area.dataset.file, { text: area.value });
  part("plain").replaceChildren();
  editor = document.createElement(editable ? "code-editor" : "textarea");
  if (!editable) { editor.rows = 18; editor.spellcheck = false; }
  editor.dataset.label = tabs.getAttribute("aria-label");
  part("editor").append(editor);
  editor.addEventListener(editable ? "edit" : "input", () => { files.set(open, { text: editor.value }); changed(); });
  for (const area of form.querySelectorAll("[data-text]")) area.disabled = true;
  part("tools").hidden = false;
}

function show(path, line) {
  open = files.has(path) ? path : [...files.keys()][0] ?? null;
  tabs.hidden = part("editor").hidden = part("remove").hidden = open === null;
  tabs.replaceChildren(...[...files.keys()].map((each) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(each === open));
    tab.tabIndex = each === open ? 0 : -1;
    tab.textContent = each;
    tab.addEventListener("click", () => show(each));
    return tab;
  }));
  if (open === null) return;
  const { text } = files.get(open);
  part("editor").hidden = text === undefined;
  if (text === undefined) return;
  if (editable) editor.path = open; else editor.setAttribute("aria-label", open);
  editor.value = text;
  mark();
  if (line && editable) editor.goTo(line);
}

function mark() {
  if (!editable || open === null) return;
  const here = [...form.querySelectorAll("#preview .finding[data-line]")].filter((each) => each.dataset.path === open && each.dataset.line);
  editor.mark(here.map((each) => Number(each.dataset.line)));
}

tabs.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const all = [...files.keys()];
  show(all[(all.indexOf(open) + step + all.length) % all.length]);
  tabs.querySelector("[aria-selected=true]").focus();
});

drop.addEventListener("files", async ({ detail }) => {
  if (detail.archive) archive = detail.archive;
  for (const { path, file } of detail.files) {
    const text = await textOf(file);
    files.set(path, text === null ? { file } : { text });
    missing = missing.filter((each) => each !== path);
  }
  const first = detail.files.map(({ path }) => path);
  show(["index.html", "app.py", "README.md"].find((path) => first.includes(path)) ?? first[0] ?? open);
  changed();
});

const ask = part("ask");
part("add").addEventListener("click", () => { part("path").value = ""; ask.showModal(); });
part("no").addEventListener("click", () => ask.close());
function add() {
  const path = part("path").value.trim();
  ask.close();
  if (!path) return;
  if (!files.has(path)) files.set(path, { text: "" });
  show(path);
  editor.focus();
  changed();
}
part("ok").addEventListener("click", add);
part("path").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); add(); } });
part("remove").addEventListener("click", () => { files.delete(open); show(); changed(); tabs.querySelector("button")?.focus(); });

// --- Preview ---------------------------------------------------------------------------------------------------------

function body(submitter) {
  const data = new FormData(form);
  for (const name of ["upload", "folder", "archive", "path", "content"]) data.delete(name);
  data.set("paths", "exact");
  for (const [path, { text, file }] of files) data.append("file", file ?? new Blob([text]), path);
  if (archive) data.append("archive", archive, archive.name);
  if (submitter) data.set(submitter.name, submitter.value);
  return data;
}

function isEmpty() { return !files.size && !archive && !form.elements.template.value; }
function size() { return [...files.values()].reduce((sum, { text, file }) => sum + (file ? file.size : text.length), archive ? archive.size : 0); }

async function send(submitter, parts) {
  if (running) { again = [submitter, parts]; return; }
  running = true;
  const publishing = submitter?.name === "action" && submitter.value === "publish";
  if (publishing) { submitter.disabled = true; form.setAttribute("aria-busy", "true"); }
  try {
    const answer = await readPage("/ui/new", "POST", body(submitter));
    const path = new URL(answer.url, location.href).pathname;
    if (publishing && path.startsWith("/ui/spaces/")) {
      sessionStorage.removeItem(key);
      leaving = true;
      location.assign(answer.url);
      return;
    }
    if (path !== "/ui/new" || !answer.page?.getElementById("preview")) { location.assign("/ui/new"); return; }
    for (const id of ["preview", "problems", "elsewhere", ...(parts || [])]) {
      const old = document.getElementById(id), fresh = answer.page.getElementById(id);
      if (old && fresh) replacePart(old, fresh);
    }
    took(submitter);
  } catch {
    part("said").textContent = form.dataset.offline;
  } finally {
    running = false;
    if (publishing) { submitter.disabled = false; form.removeAttribute("aria-busy"); }
    if (again) { const next = again; again = null; send(...next); }
  }
}

function took(submitter) {
  for (const area of form.querySelectorAll("[data-changed]")) files.set(area.dataset.changed, { text: area.value });
  for (const button of form.querySelectorAll("[data-open]")) button.disabled = !files.has(button.dataset.open) && !form.querySelector(`[data-text="${CSS.escape(button.dataset.open)}"]`);
  if (submitter?.name === "apply") { show(open); changed(); }
  else if (submitter) document.getElementById("preview").focus();
  mark();
}

function changed(parts) {
  keep();
  clearTimeout(waiting);
  const big = size() > small;
  part("said").textContent = big ? form.dataset.big : "";
  if (!big && !isEmpty()) waiting = setTimeout(() => send(null, parts), parts ? 0 : 300);
}

form.addEventListener("click", (event) => {
  const path = event.target.closest?.("[data-open]")?.dataset.open;
  const at = event.target.closest?.(".at")?.parentElement.dataset;
  const card = event.target.closest?.("#starters a");
  if (card) {
    event.preventDefault();
    const query = new URL(card.href).searchParams;
    form.elements.space_type.value = query.get("type");
    form.elements.template.value = `${query.get("type")}/${query.get("template")}`;
    changed(["what", "typed"]);
  }
  if (path !== undefined) {
    if (!files.has(path)) files.set(path, { text: form.querySelector(`[data-text="${CSS.escape(path)}"]`).value });
    show(path);
    keep();
    editor.focus();
  } else if (at && files.has(at.path)) show(at.path, Number(at.line) || 1);
});
form.addEventListener("input", (event) => { if (event.target.type !== "file") changed(["space_type", "template"].includes(event.target.name) ? ["what", "typed"] : null); });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  send(event.submitter ?? form.querySelector("[value=publish]"));
});

// --- Drafts: what was typed survives a reload; secrets and large files are not kept ------------------------------------

let leaving = false;
function fields() {
  return [...form.elements].filter((each) => each.name && !["file", "password", "submit", "hidden"].includes(each.type) && !("secret" in each.dataset) && !each.disabled);
}
function keep() {
  if (leaving) return;
  const values = fields().map((each) => [each.name, each.type === "checkbox" ? each.checked : each.value]);
  const texts = [...files].filter(([, { text }]) => text !== undefined).map(([path, { text }]) => [path, text]);
  const lost = [...missing, ...[...files].filter(([, { file }]) => file).map(([path]) => path), ...(archive ? [archive.name] : [])];
  try { sessionStorage.setItem(key, JSON.stringify({ values, texts, lost })); } catch { sessionStorage.removeItem(key); }
}
async function restore() {
  const draft = location.search ? null : JSON.parse(sessionStorage.getItem(key) || "null");
  if (!draft) return false;
  for (const [path, text] of draft.texts) files.set(path, { text });
  missing = draft.lost;
  fill(draft.values);
  await send(null, ["what", "typed"]);
  fill(draft.values);
  part("said").textContent = [form.dataset.restored, ...missing.map((path) => `${path}: ${form.dataset.missing}`)].join(" ");
  return true;
}
function fill(values) {
  const left = fields();
  for (const [name, value] of values) {
    const place = left.findIndex((each) => each.name === name);
    if (place < 0) continue;
    const [field] = left.splice(place, 1);
    if (field.type === "checkbox") field.checked = value;
    else if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
  }
}

begin();
if (!(await restore().catch(() => false))) took(null);
show();
if (location.search && !isEmpty()) send(null);
