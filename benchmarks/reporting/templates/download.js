
// The raw figures are in the page; a link to them can only be made where they are.
const raw = document.getElementById("raw");
const link = document.getElementById("download");
link.href = URL.createObjectURL(new Blob([raw.textContent], { type: "application/json" }));
link.hidden = false;
