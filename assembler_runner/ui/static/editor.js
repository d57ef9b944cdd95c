// <code-editor>: plain text with native undo; colours by the CSS Custom Highlight API, so that no markup is changed.
// Where a browser lacks one of the two, the textarea stays as it is.

const strings = /"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?/y;
const numbers = /\b\d[\d_.eExXa-fA-F]*\b/y;
const skip = /\w+|\s+|[^\w\s]/y;
const words = (list) => new RegExp(`\\b(?:${list})\\b`, "y");
const python = [
  ["comment", /#[^\n]*/y],
  ["string", /[fFrRbBuU]{0,2}(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/y],
  ["number", numbers],
  ["keyword", words("and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|match|nonlocal|not|or|pass|raise|return|try|while|with|yield|True|False|None")],
];
const script = [
  ["comment", /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ["string", /`(?:\\.|[^`\\])*`?|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?/y],
  ["number", numbers],
  ["keyword", words("async|await|break|case|catch|class|const|continue|default|do|else|export|extends|false|finally|for|from|function|if|import|in|instanceof|let|new|null|of|return|static|super|switch|this|throw|true|try|typeof|undefined|var|void|while|yield")],
];
const markup = [["comment", /<!--[\s\S]*?(?:-->|$)/y], ["keyword", /<\/?[A-Za-z][\w-]*|\/?>/y], ["string", strings]];
const sheet = [["comment", /\/\*[\s\S]*?(?:\*\/|$)/y], ["string", strings], ["number", /#[0-9a-fA-F]{3,8}\b|\b\d[\d.]*\w*/y], ["keyword", /@[\w-]+|[\w-]+(?=\s*:)/y]];
const shell = [["comment", /#[^\n]*/y], ["string", strings], ["number", numbers], ["keyword", words("FROM|RUN|COPY|ADD|CMD|ENTRYPOINT|ENV|ARG|WORKDIR|EXPOSE|USER|LABEL|true|false|null")]];
const languages = { py: python, js: script, mjs: script, ts: script, json: script, html: markup, htm: markup, svg: markup, xml: markup, css: sheet };

const canPaint = "highlights" in CSS && "Highlight" in window;
const groups = Object.fromEntries(canPaint ? ["keyword", "string", "comment", "number", "finding"].map((name) => {
  const group = new Highlight();
  CSS.highlights.set(name, group);
  return [name, group];
}) : []);

function canEdit() {
  const probe = document.createElement("div");
  probe.setAttribute("contenteditable", "plaintext-only");
  return canPaint && probe.contentEditable === "plaintext-only";
}

export class CodeEditor extends HTMLElement {
  #source; #gutter; #path = ""; #marked = []; #leaving = false; #frame = 0;

  connectedCallback() {
    if (this.#source) return;
    this.#gutter = document.createElement("div");
    this.#gutter.className = "gutter";
    this.#gutter.setAttribute("aria-hidden", "true");
    this.#source = document.createElement("div");
    this.#source.className = "source";
    this.#source.contentEditable = this.hasAttribute("readonly") ? "false" : "plaintext-only";
    this.#source.spellcheck = false;
    this.#source.tabIndex = 0;
    this.#source.setAttribute("role", "textbox");
    this.#source.setAttribute("aria-multiline", "true");
    this.append(this.#gutter, this.#source);
    this.#source.addEventListener("input", (event) => {
      event.stopPropagation();
      this.#flatten();
      this.#later();
      this.dispatchEvent(new CustomEvent("edit", { bubbles: true }));
    });
    this.#source.addEventListener("keydown", (event) => this.#key(event));
    this.addEventListener("scroll", () => this.#later());
  }

  get value() { return this.#source.textContent; }
  set value(text) {
    this.#source.textContent = text;
    this.paint();
  }

  get path() { return this.#path; }
  set path(path) {
    this.#path = path;
    this.#source.setAttribute("aria-label", `${this.dataset.label || ""} ${path}`.trim());
  }

  focus() { this.#source.focus(); }

  // Marks lines, from 1, as those of findings.
  mark(lines) {
    this.#marked = lines;
    this.paint();
  }

  goTo(line) {
    const offset = this.#offset(line);
    this.scrollTop = Math.max(0, (line - 4) * 24);
    this.focus();
    const node = this.#source.firstChild;
    if (node) getSelection().setBaseAndExtent(node, offset, node, offset);
  }

  #key(event) {
    // Escape and then Tab leave the editor; Tab alone indents.
    if (event.key === "Tab" && !event.shiftKey && !this.#leaving && !this.hasAttribute("readonly")) {
      event.preventDefault();
      document.execCommand("insertText", false, "    ");
    }
    this.#leaving = event.key === "Escape";
  }

  // Some ways to insert several lines make an element of each; here a line is a line of text.
  #flatten() {
    if (!this.#source.firstElementChild) return;
    const text = [...this.#source.childNodes].map((node) => node.nodeName === "BR" ? "\n" : (node.nodeName === "DIV" ? "\n" : "") + node.textContent).join("");
    this.#source.textContent = text;
    getSelection().selectAllChildren(this.#source);
    getSelection().collapseToEnd();
  }

  #later() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.paint());
  }

  #offset(line) {
    let offset = 0;
    const text = this.value;
    for (let number = 1; number < line; number++) {
      const next = text.indexOf("\n", offset);
      if (next < 0) break;
      offset = next + 1;
    }
    return offset;
  }

  #range(from, to) {
    const range = new Range();
    const node = this.#source.firstChild;
    range.setStart(node, Math.min(from, node.length));
    range.setEnd(node, Math.min(to, node.length));
    return range;
  }

  // Colours what can be seen; tokens before it are read, as a string may begin there.
  paint() {
    this.#source.normalize();
    for (const group of Object.values(groups)) group.clear();
    const text = this.value;
    const lines = text.split("\n").length;
    const numbered = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
    if (this.#gutter.textContent !== numbered) this.#gutter.textContent = numbered;
    if (!text || !this.#source.firstChild || this.#source.childNodes.length > 1) return;
    const first = this.#offset(Math.floor(this.scrollTop / 24) - 20);
    const last = this.#offset(Math.ceil((this.scrollTop + (this.clientHeight || 800)) / 24) + 20);
    const ending = this.#path.split(".").pop().toLowerCase();
    const rules = [...(languages[ending] || shell), ["", skip]];
    for (let at = 0; at < last && at < text.length;) {
      for (const [group, rule] of rules) {
        rule.lastIndex = at;
        const found = rule.exec(text);
        if (!found || !found[0]) continue;
        const end = at + found[0].length;
        if (group && end > first) groups[group].add(this.#range(at, end));
        at = end;
        break;
      }
    }
    for (const line of this.#marked) {
      const from = this.#offset(line);
      const to = text.indexOf("\n", from);
      groups.finding.add(this.#range(from, to < 0 ? text.length : Math.max(to, from + 1)));
    }
  }
}
customElements.define("code-editor", CodeEditor);

// Puts an editor in the place of a textarea; the textarea stays what the form sends.
export function upgrade(area, label) {
  if (!canEdit()) return null;
  const editor = document.createElement("code-editor");
  editor.dataset.label = label;
  if (area.readOnly) editor.setAttribute("readonly", "");
  area.after(editor);
  area.hidden = true;
  editor.path = area.dataset.path || "";
  editor.value = area.value;
  editor.addEventListener("edit", () => {
    area.value = editor.value;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return editor;
}

export const editable = canEdit();
