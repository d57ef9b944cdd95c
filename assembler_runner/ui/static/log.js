// <log-view>: a log that grows, with search, "only errors" and wrapped lines. What is read does not jump.

const bad = /(error|exception)\b|\b(traceback|fatal|critical|failed|failure|panic|denied|cannot|not found)\b/i;
const most = 5000;

class LogView extends HTMLElement {
  #list; #status; #search = ""; #onlyErrors = false; #count = 0; #queue = []; #frame = 0; #source = null;

  connectedCallback() {
    this.#list = this.querySelector(".log");
    this.#status = this.querySelector("[data-part=status]");
    const tools = this.querySelector(".tools");
    tools.hidden = false;
    tools.querySelector("[name=search]").addEventListener("input", (event) => { this.#search = event.target.value.toLowerCase(); this.#filter(); });
    tools.querySelector("[name=errors]").addEventListener("change", (event) => { this.#onlyErrors = event.target.checked; this.#filter(); });
    tools.querySelector("[name=wrap]").addEventListener("change", (event) => this.#list.classList.toggle("wrap", event.target.checked));
    for (const row of this.#list.children) this.#judge(row);
    this.#count = this.#list.children.length;
    this.#toHash();
    addEventListener("hashchange", () => this.#toHash());
    this.#follow();
  }

  #follow() {
    let started = false;
    this.#source = new EventSource(this.dataset.stream);
    this.#source.addEventListener("line", (message) => {
      // The stream begins with the lines that the page has.
      if (!started) { started = true; this.#list.replaceChildren(); this.#count = 0; this.querySelector("[data-part=note]")?.remove(); }
      this.#status.textContent = this.dataset.live;
      this.#queue.push(JSON.parse(message.data));
      if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#append());
    });
    const end = () => { this.#status.textContent = this.dataset.ended; this.#source.close(); };
    this.#source.addEventListener("end", end);
    this.#source.addEventListener("error", (event) => { if (event.data || this.#source.readyState === EventSource.CLOSED) end(); });
    addEventListener("pagehide", () => this.#source.close());
  }

  #append() {
    this.#frame = 0;
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    const rows = this.#queue.map((line) => this.#row(line));
    this.#queue = [];
    this.#list.append(...rows);
    while (this.#list.children.length > most) this.#list.firstElementChild.remove();
    // Who reads further up stays there.
    if (atEnd && !location.hash) this.#list.scrollTop = this.#list.scrollHeight;
    if (location.hash && rows.some((row) => `#${row.id}` === location.hash)) this.#toHash();
  }

  #row({ text, timestamp }) {
    this.#count += 1;
    const row = document.createElement("li"), link = document.createElement("a"), words = document.createElement("span");
    row.id = `L${this.#count}`;
    link.href = `#${row.id}`;
    link.textContent = this.#count;
    if (timestamp) link.title = new Date(timestamp).toLocaleString(document.documentElement.lang);
    words.textContent = text;
    row.append(link, words);
    this.#judge(row);
    this.#show(row);
    return row;
  }

  #judge(row) { row.classList.toggle("error", bad.test(row.lastElementChild.textContent)); }

  #show(row) {
    const words = row.lastElementChild, text = words.textContent;
    const at = this.#search ? text.toLowerCase().indexOf(this.#search) : -1;
    row.hidden = (this.#search && at < 0) || (this.#onlyErrors && !row.classList.contains("error"));
    if (at < 0) { if (words.firstElementChild) words.textContent = text; return; }
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + this.#search.length);
    words.replaceChildren(text.slice(0, at), mark, text.slice(at + this.#search.length));
  }

  #filter() {
    let shown = 0;
    for (const row of this.#list.children) { this.#show(row); shown += !row.hidden; }
    this.#status.textContent = shown ? "" : this.dataset.none;
  }

  #toHash() {
    for (const row of this.#list.querySelectorAll(".here")) row.classList.remove("here");
    const row = location.hash && this.#list.querySelector(`#${CSS.escape(location.hash.slice(1))}`);
    if (!row) return;
    row.classList.add("here");
    row.scrollIntoView({ block: "center" });
  }
}
customElements.define("log-view", LogView);
