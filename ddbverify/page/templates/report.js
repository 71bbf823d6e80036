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
(() => {
  // A plan of a repair: what was chosen, and of which repair.json. `ddbverify.evidence.plans` reads it.
  const form = document.getElementById("plan");
  if (!form) return;
  const boxes = Array.from(form.querySelectorAll("[data-cause]"));
  const button = form.querySelector("button");
  const text = document.getElementById("plan-text");
  const planned = document.getElementById("planned");
  const sum = (said) => {
    let found = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(said)) found = Math.imul(found ^ byte, 0x01000193) >>> 0;
    return found.toString(16).padStart(8, "0");
  };
  const make = () => {
    const { version, repair } = form.dataset;
    const causes = boxes
      .filter((box) => box.checked)
      .map(({ dataset }) => ({
        pair: JSON.parse(dataset.pair),
        finding: dataset.finding,
        cause: JSON.parse(dataset.cause),
      }));
    const said = [repair, ...causes.map((one) => `${one.pair}\t${one.finding}\t${one.cause}`)].join("\n");
    const plan = { version: Number(version), repair, causes, sum: sum(said) };
    button.disabled = causes.length === 0;
    text.value = causes.length === 0 ? "" : JSON.stringify(plan, null, 1) + "\n";
    planned.textContent = `${causes.length} of ${boxes.length} chosen`;
  };
  form.hidden = false;
  document.getElementById("or-plan").hidden = false;
  form.addEventListener("change", make);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text.value], { type: "application/json" }));
    link.download = "repair-plan.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  make();
})();
