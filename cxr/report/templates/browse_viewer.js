// One picture on black. Window and level are a linear filter of the browser: a canvas could not be read from a file.
const find = id => document.getElementById(id), viewer = find("viewer"), boxes = [...viewer.querySelectorAll(".box")], USUAL = { window: 256, level: 128 };
let seen = null;  // the gallery, the row, and how it is looked at
// Of the size of a thumbnail, which is then its background.
const EMPTY = "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="${told.side}" height="${told.side}"/>`);
const picturePath = (gallery, row) => gallery.set.pictures + `${String(row).padStart(6, "0")}.png`;
const addressOf = (gallery, row) => `#${gallery.section.id}${row === undefined ? "" : `/${row}`}`;

const openPicture = (gallery, row) => { location.hash = addressOf(gallery, row); };
const turnTo = (gallery, row) => { history.replaceState(null, "", addressOf(gallery, row)); showPicture(gallery, row); };
const closePicture = () => { if (viewer.open) viewer.close(); };
const setImage = (image, gallery, row) => {
  image.alt = `picture ${row + 1} of ${gallery.set.name}`;
  image.cut = gallery.set.pictures ? null : side => gallery.thumbnail(row, side);
  image.src = gallery.set.pictures ? picturePath(gallery, row) : EMPTY;
};
const showPicture = (gallery, row) => {
  const kept = viewer.open && seen ? seen : { ...USUAL, invert: false, zoom: 1, beside: false };
  seen = { ...kept, gallery, row, at: gallery.shown.indexOf(row) };
  if (!viewer.open) {
    viewer.showModal();
    viewer.querySelector(".stage").focus();
  }
  setImage(find("picture"), gallery, row);
  const place = seen.at < 0 ? "not among the pictures filtered for" : `${(seen.at + 1).toLocaleString("en")} of ${gallery.shown.length.toLocaleString("en")}`;
  find("place").textContent = `${gallery.set.name}: ${place}${gallery.set.pictures ? "" : ". A thumbnail: this page holds no more."}`;
  find("picture").closest("figure").querySelector("figcaption").textContent = gallery.set.name;
  find("previous").disabled = seen.at <= 0;
  find("next").disabled = seen.at < 0 || seen.at + 1 >= gallery.shown.length;
  showFacts(gallery, row);
  showBeside();
  adjust();
  const after = gallery.shown[seen.at + 1];
  if (after !== undefined && gallery.set.pictures) new Image().src = picturePath(gallery, after);
};
const nearestOf = () => {
  const row = valueOf(seen.gallery.column.nearest_row, seen.row);
  return row === null || seen.gallery.real === null ? null : { number: seen.gallery.real, row };
};
const showFacts = (gallery, row) => {
  const facts = find("facts"), nearest = nearestOf();
  facts.replaceChildren();
  for (const column of gallery.columns) {
    const value = valueOf(column, row);
    if (value === null || !column.label) continue;
    const fact = make("dd", { textContent: inWords(value) });
    if (column.name === "nearest") addLinks(fact, gallery, value, nearest);
    facts.append(make("dt", { textContent: column.label }), fact);
  }
  if (gallery.by.length) facts.append(make("dt", { textContent: "Judged by" }), make("dd", { textContent: gallery.by.join(", ") }));
};
const addLinks = (box, gallery, id, nearest) => {
  if (nearest) {
    const look = make("button", { type: "button", textContent: "Look at it" });
    look.addEventListener("click", () => openPicture(galleryOf(nearest.number), nearest.row));
    box.append(" ", look);
  }
  const alike = make("button", { type: "button", textContent: "All nearest to it" });
  alike.addEventListener("click", () => {
    gallery.clear();
    gallery.form.elements.nearest.value = id;
    gallery.filter();
    leave();
  });
  box.append(" ", alike);
};
const showBeside = async () => {
  const nearest = nearestOf(), other = find("other"), { row } = seen;
  find("beside").disabled = !nearest;
  find("beside").hidden = !seen.gallery.column.nearest;
  find("beside").setAttribute("aria-pressed", Boolean(nearest && seen.beside));
  other.hidden = !nearest || !seen.beside;
  if (other.hidden) return;
  const gallery = galleryOf(nearest.number);
  await gallery.ready;
  if (seen.row !== row) return;  // another picture was turned to meanwhile
  setImage(other.querySelector("img"), gallery, nearest.row);
  const score = valueOf(seen.gallery.column.score, seen.row);
  other.querySelector("figcaption").textContent = `nearest training picture, in ${gallery.set.name}: correlation ${score}`;
  adjust();
};
const adjust = () => {
  const { window: width, level, invert } = seen, slope = 255 / width, start = -(level - width / 2) / width;
  for (const channel of document.querySelectorAll("#levels feFuncR, #levels feFuncG, #levels feFuncB")) {
    channel.setAttribute("slope", invert ? -slope : slope);
    channel.setAttribute("intercept", invert ? 1 - start : start);
  }
  for (const name of ["window", "level"]) {
    find(name).value = seen[name];
    find(name).nextElementSibling.textContent = Math.round(seen[name]);
  }
  find("invert").setAttribute("aria-pressed", seen.invert);
  for (const image of viewer.querySelectorAll("img")) fit(image);
};
const fit = image => {
  if (!image.naturalWidth) return;
  const box = image.parentElement;
  const scale = Math.min(box.clientWidth / image.naturalWidth, box.clientHeight / image.naturalHeight) * seen.zoom;
  Object.assign(image.style, { width: `${image.naturalWidth * scale}px`, height: `${image.naturalHeight * scale}px`, background: "" });
  if (image.cut) Object.assign(image.style, image.cut(image.naturalWidth * scale));
};
const change = (name, value, least, most) => { seen[name] = Math.min(most, Math.max(least, value)); adjust(); };
const middleOf = box => [(box.scrollLeft + box.clientWidth / 2) / box.scrollWidth, (box.scrollTop + box.clientHeight / 2) / box.scrollHeight];
const centre = (box, [across, down]) => box.scrollTo(across * box.scrollWidth - box.clientWidth / 2, down * box.scrollHeight - box.clientHeight / 2);
const zoom = times => {
  const middle = middleOf(find("picture").parentElement);
  change("zoom", seen.zoom * times, 1, 12);
  for (const box of boxes) centre(box, middle);
};
const step = by => {
  const row = seen.gallery.shown[seen.at + by];
  if (seen.at >= 0 && row !== undefined) turnTo(seen.gallery, row);
};
const leave = () => {
  const { gallery, at } = seen;
  closePicture();
  history.replaceState(null, "", addressOf(gallery));
  here = gallery;
  if (at >= 0 && at < gallery.shown.length) gallery.choose(at);
};
const toggle = { invert: () => { seen.invert = !seen.invert; adjust(); }, beside: () => { seen.beside = !seen.beside; showBeside(); adjust(); } };
const reset = () => { Object.assign(seen, USUAL, { invert: false, zoom: 1 }); adjust(); };

const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-1), ArrowDown: () => step(1), "+": () => zoom(1.25),
  "=": () => zoom(1.25), "-": () => zoom(0.8), i: toggle.invert, c: () => { if (nearestOf()) toggle.beside(); }, r: reset,
};
const inField = event => ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
viewer.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || (inField(event) && event.key.startsWith("Arrow"))) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) { event.preventDefault(); act(); }
});
viewer.addEventListener("cancel", event => { event.preventDefault(); leave(); });
addEventListener("keydown", event => {
  if (viewer.open || !here || !here.shown || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { here.clear(); if (event.target.blur) event.target.blur(); return; }
  if (inField(event) || event.target.closest("summary, a")) return;
  const page = Math.max(1, Math.floor(innerHeight / here.high) - 1) * here.across;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -here.across, ArrowDown: here.across, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity }[event.key];
  if (steps !== undefined) { event.preventDefault(); here.move(event.target.closest(".cell") ? steps : null); }
  else if (event.key === "Enter" && !event.target.closest("button") && here.shown.length) openPicture(here, here.shown[here.chosen]);
  else if (event.key === "/") { event.preventDefault(); here.form.parentElement.open = true; here.form.elements[0].focus(); }
});
for (const [name, act] of Object.entries({
  previous: () => step(-1), next: () => step(1), smaller: () => zoom(0.8), larger: () => zoom(1.25), ...toggle, reset, close: leave,
})) find(name).addEventListener("click", act);
find("window").addEventListener("input", event => change("window", Number(event.target.value), 1, 512));
find("level").addEventListener("input", event => change("level", Number(event.target.value), 0, 255));
for (const box of boxes) {
  let last = null;
  box.addEventListener("scroll", () => {  // both pictures show the same part
    for (const other of boxes) if (other !== box && box.matches(":hover, :focus-within")) centre(other, middleOf(box));
  });
  box.addEventListener("pointerdown", event => {
    if (event.pointerType !== "mouse" || event.button > 0) return;
    event.preventDefault();
    last = event;
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", event => {
    if (!last) return;
    const across = event.clientX - last.clientX, down = event.clientY - last.clientY;
    last = event;
    if (event.shiftKey) return box.scrollBy(-across, -down);
    seen.window = Math.min(512, Math.max(1, seen.window + across));
    change("level", seen.level + down, 0, 255);
  });
  for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, () => { last = null; });
  box.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8); }, { passive: false });
}
for (const image of viewer.querySelectorAll("img")) {
  image.addEventListener("load", () => { if (seen) fit(image); });
  image.addEventListener("error", () => { find("place").textContent = `${image.getAttribute("src")} is missing: copy the whole folder`; });
}
addEventListener("resize", () => { if (viewer.open) adjust(); });
go();
