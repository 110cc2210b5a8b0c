// Without this, the page says the same in one order. Nothing is loaded, kept or sent.
const list = document.querySelector("[data-models]");
const rows = [...document.querySelectorAll("tr[data-marks]")];
const [search, show, sort, all] = ["search", "show", "sort", "all"].map((id) => document.getElementById(id));
const shown = document.querySelector("[role=status]");
const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
// More are a page that nobody scrolls; what is searched for is found among all.
let limit = 50;

function chosen() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0, fitting = 0;
  for (const row of rows) {
    const fits = words.every((word) => texts.get(row).includes(word));
    const marked = show.value === "" || row.dataset.marks.split(",").includes(show.value);
    fitting += fits && marked ? 1 : 0;
    row.hidden = !(fits && marked) || fitting > limit;
    count += row.hidden ? 0 : 1;
  }
  all.parentElement.hidden = fitting <= limit;
  shown.textContent = count === rows.length ? `${count} shown` : `${count} of ${rows.length} shown`;
}

function ordered() {
  const key = (row) => row.dataset[sort.value];
  const isText = ["name", "owner"].includes(sort.value);
  rows.sort((one, other) => (isText ? key(one).localeCompare(key(other)) : key(one) - key(other)) || one.dataset.name.localeCompare(other.dataset.name));
  list.append(...rows);
  chosen();
}

if (rows.length) {
  for (const each of document.querySelectorAll("[data-script]")) each.hidden = false;
  search.form.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", chosen);
  show.addEventListener("change", chosen);
  sort.addEventListener("change", ordered);
  all.addEventListener("click", () => { limit = rows.length; chosen(); search.focus(); });
  // What a browser kept of the fields when the page was loaded again.
  ordered();
}
