// A gallery shows the rows that are in sight; what is known of its pictures is a script, loaded when it is first seen.
const GAP = 8, WORDS = 18, AHEAD = 400, FLAG = "\u2691 ";
const make = (name, properties, ...inside) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
};
const valueOf = (column, row) => {
  if (!column) return null;
  if (!column.codes) return column.values[row];
  return column.codes[row] < 0 ? null : column.values[column.codes[row]];
};
const inWords = value => Array.isArray(value) ? value.join(", ") : String(value);

class Gallery {
  constructor(section) {
    this.section = section;
    this.number = Number(section.dataset.set);
    this.set = told.sets[this.number];
    this.grid = section.querySelector(".grid");
    this.form = section.querySelector("form");
    this.status = section.querySelector(".count");
    this.cells = new Map();
    this.spare = [];
    this.chosen = 0;
    this.ready = new Promise((done, failed) => {
      this.loaded = done;
      document.body.append(make("script", { src: `data/${this.number}.js`, onerror: failed }));
    }).catch(() => { this.status.textContent = `data/${this.number}.js is missing: copy the whole folder`; });
  }
  take(data, further) {
    Object.assign(this, data, further);
    this.column = Object.fromEntries(this.columns.map(column => [column.name, column]));
    this.addFilters();
    this.filter();
    this.loaded();
  }
  addFilters() {
    this.fields = this.columns.filter(column => column.filter !== "none").map(column => {
      const field = column.filter === "text" ? make("input", { type: "search", placeholder: "contains" }) : this.choices(column);
      field.name = column.name;
      this.form.append(make("label", {}, column.label, field));
      return [column, field];
    });
    if (this.column.score) {
      this.order = make("select", { name: "order" }, make("option", { value: "", textContent: "as in the set" }),
        make("option", { value: "score", textContent: "likest a training picture" }));
      this.form.append(make("label", {}, "Order", this.order));
    }
    const clear = make("button", { type: "button", textContent: "Clear" });
    clear.addEventListener("click", () => this.clear());
    this.form.append(clear);
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("submit", event => event.preventDefault());
    if (innerWidth < 700) this.form.parentElement.open = false;
  }
  choices(column) {
    const counts = new Map();
    for (let row = 0; row < this.count; row++)
      for (const one of [valueOf(column, row)].flat()) if (one !== null) counts.set(String(one), (counts.get(String(one)) || 0) + 1);
    const field = make("select", {}, make("option", { value: "", textContent: "any" }));
    for (const [one, count] of [...counts].sort((one, other) => one[0].localeCompare(other[0], "en", { numeric: true })))
      field.append(make("option", { value: one, textContent: `${one} (${count.toLocaleString("en")})` }));
    return field;
  }
  clear() {
    for (const field of this.form.elements) if (field.name) field.value = "";
    this.filter();
  }
  filter() {
    const tests = this.fields.filter(([, field]) => field.value).map(([column, field]) => {
      const wanted = field.value.trim().toLowerCase();
      const fits = value => value !== null && (column.filter === "text" ? String(value).toLowerCase().includes(wanted)
        : [value].flat().some(one => String(one) === field.value));
      if (!column.codes) return row => fits(column.values[row]);
      const known = column.values.map(fits);
      return row => column.codes[row] >= 0 && known[column.codes[row]];
    });
    this.shown = [...Array(this.count).keys()].filter(row => tests.every(test => test(row)));
    if (this.order && this.order.value) {
      const score = row => valueOf(this.column.score, row) ?? -2;
      this.shown.sort((one, other) => score(other) - score(one));
    }
    const count = this.shown.length.toLocaleString("en"), all = this.count.toLocaleString("en");
    const flagged = this.shown.filter(row => valueOf(this.column.status, row) === "quarantined").length;
    this.status.textContent = (this.shown.length === this.count ? `${all} pictures` : `${count} of ${all} pictures`)
      + (flagged ? `, ${FLAG}${flagged.toLocaleString("en")} quarantined` : "");
    this.section.querySelector(".active").textContent = tests.length ? `(${tests.length} set)` : "";
    this.chosen = 0;
    this.layout();
  }
  layout() {
    const wide = this.grid.clientWidth;
    this.across = Math.max(1, Math.ceil((wide + GAP) / (told.side + GAP)));
    this.side = Math.floor((wide + GAP) / this.across) - GAP;  // a thumbnail's, or a little less: the rows end at the edge
    this.grid.style.height = `${Math.ceil(this.shown.length / this.across) * this.high}px`;
    for (const cell of this.cells.values()) this.release(cell);
    this.cells.clear();
    this.draw();
  }
  get high() { return this.side + WORDS + GAP; }
  draw() {
    const top = this.grid.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - AHEAD) / this.high)) * this.across;
    const last = Math.min(this.shown.length, Math.ceil((innerHeight - top + AHEAD) / this.high) * this.across);
    for (const [at, cell] of this.cells)
      if (at < first || at >= last) { this.release(cell); this.cells.delete(at); }
    for (let at = first; at < last; at++) if (!this.cells.has(at)) this.cells.set(at, this.fill(at));
  }
  release(cell) {
    if (cell === document.activeElement) cell.blur();
    cell.hidden = true;
    this.spare.push(cell);
  }
  fill(at) {
    let cell = this.spare.pop();
    if (!cell) {
      cell = make("button", { className: "cell", type: "button" }, make("span", { className: "thumb" }), make("span", { className: "words" }));
      cell.addEventListener("click", () => { this.chosen = cell.at; openPicture(this, this.shown[cell.at]); });
      cell.addEventListener("focus", () => { this.chosen = cell.at; });
      this.grid.append(cell);
    }
    const row = this.shown[at], status = valueOf(this.column.status, row), words = inWords(valueOf(this.column.finding, row) ?? "");
    cell.at = at;
    cell.hidden = false;
    cell.classList.toggle("quarantined", status === "quarantined");
    const left = (at % this.across) * (this.side + GAP), top = Math.floor(at / this.across) * this.high;
    Object.assign(cell.style, { transform: `translate(${left}px, ${top}px)`, width: `${this.side}px` });
    Object.assign(cell.firstChild.style, this.thumbnail(row, this.side), { height: `${this.side}px` });
    cell.lastChild.textContent = (status === "quarantined" ? FLAG : "") + words;
    cell.setAttribute("aria-label", `picture ${row + 1}, ${words}${status ? `, ${status}` : ""}`);
    return cell;
  }
  thumbnail(row, side) {
    const sheet = Math.floor(row / told.sheet), at = row % told.sheet;
    return {
      backgroundImage: `url("${this.set.sheets}${String(sheet).padStart(5, "0")}.jpg")`,
      backgroundPosition: `${-(at % told.across) * side}px ${-Math.floor(at / told.across) * side}px`,
      backgroundSize: `${told.across * side}px`,
    };
  }
  move(steps) {  // from the picture chosen, or to the first in sight
    const top = this.grid.getBoundingClientRect().top;
    const to = steps === null ? Math.max(0, Math.ceil(-top / this.high)) * this.across : this.chosen + steps;
    if (this.shown.length) this.choose(Math.min(this.shown.length - 1, Math.max(0, to)));
  }
  choose(at) {
    this.chosen = at;
    const top = this.grid.getBoundingClientRect().top + Math.floor(at / this.across) * this.high;
    const under = this.form.parentElement.getBoundingClientRect().height + GAP;
    if (top < under) scrollBy(0, top - under);
    else if (top + this.high > innerHeight) scrollBy(0, top + this.high - innerHeight);
    this.draw();
    this.cells.get(at).focus({ preventScroll: true });
  }
}

const galleries = new Map();
const cxr = { load: (number, data, further) => galleries.get(number).take(data, further) };
window.cxr = cxr;
const galleryOf = number => {
  if (!galleries.has(number)) galleries.set(number, new Gallery(document.querySelector(`[data-set="${number}"]`)));
  return galleries.get(number);
};
let here = null;  // the gallery in sight
const sections = [...document.querySelectorAll("section.artifact")];
const go = async () => {
  const [, name, row] = /^#(all|a\d+)(?:\/(\d+))?$/.exec(location.hash) || [];
  const section = document.getElementById(name) || sections[0];
  const turned = section.hidden || !document.body.classList.contains("one");
  document.body.classList.add("one");
  for (const one of sections) one.hidden = one !== section;
  if (document.getElementById("back")) document.getElementById("back").hidden = section.id === "all";
  here = section.dataset.set ? galleryOf(Number(section.dataset.set)) : null;
  if (turned) scrollTo(0, 0);
  if (!here) return closePicture();
  await here.ready;
  if (!here.shown) return;
  if (turned) here.layout();
  if (row !== undefined && Number(row) < here.count) showPicture(here, Number(row));
  else closePicture();
};
let waiting = false;
addEventListener("scroll", () => {
  if (waiting || !here || !here.shown) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; here.draw(); });
}, { passive: true });
let wide = innerWidth;
addEventListener("resize", () => {
  if (!here || !here.shown) return;
  if (innerWidth === wide) return here.draw();
  wide = innerWidth;
  here.layout();
});
addEventListener("hashchange", go);
