// The tab Files: an editor for one file, and the names of what will be uploaded.

import { upgrade } from "./editor.js";
import "./drop.js";
import "./page.js";

for (const area of document.querySelectorAll("textarea[data-editor]")) {
  const form = area.form;
  const key = `assembler-draft-${form.dataset.draft}`;
  const kept = sessionStorage.getItem(key);
  // What was typed before an accident of the browser; a version from the service is newer than that.
  if (kept !== null && !document.getElementById("problem") && !document.getElementById("checked")) area.value = kept;
  const editor = upgrade(area, area.labels?.[0]?.firstChild?.textContent.trim() ?? "");
  const start = area.defaultValue;
  area.addEventListener("input", () => {
    if (area.value === start) sessionStorage.removeItem(key);
    else try { sessionStorage.setItem(key, area.value); } catch { sessionStorage.removeItem(key); }
  });
  form.addEventListener("submit", () => sessionStorage.removeItem(key));
  const lines = [...document.querySelectorAll(".finding[data-line]")].filter((each) => each.dataset.path === area.dataset.path && each.dataset.line);
  editor?.mark(lines.map((each) => Number(each.dataset.line)));
}

for (const drop of document.querySelectorAll("file-drop")) {
  const list = drop.querySelector("[data-part=list]");
  drop.addEventListener("files", ({ detail }) => {
    list.textContent = [...detail.files.map(({ path }) => path), ...(detail.archive ? [detail.archive.name] : [])].slice(0, 20).join(", ");
    // Dropped files become those of the form, with their paths in a field of their own.
    drop.closest("form").addEventListener("formdata", (event) => {
      for (const name of ["upload", "folder", "archive"]) event.formData.delete(name);
      for (const { path, file } of detail.files) event.formData.append("upload", file, path);
      if (detail.archive) event.formData.append("archive", detail.archive, detail.archive.name);
    }, { once: false });
  });
}
