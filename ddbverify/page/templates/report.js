"use strict";
(() => {
  const form = document.getElementById("filters");
  const table = document.getElementById("rows");
  if (!form || !table) return;
  const count = document.getElementById("count");
  const rows = Array.from(table.tBodies[0].rows, (row) => ({ row, text: row.textContent.toLowerCase() }));
  const fields = Array.from(form.querySelectorAll("[data-by]"));
  const fits = ({ row, text }, field) => {
    const wanted = field.value;
    if (wanted === "") return true;
    if (field.dataset.by === "text") return text.includes(wanted.toLowerCase());
    return (row.dataset[field.dataset.by] || "").split(" ").includes(wanted);
  };
  const filter = () => {
    let shown = 0;
    for (const one of rows) {
      const fit = fields.every((field) => fits(one, field));
      one.row.hidden = !fit;
      if (fit) shown += 1;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
