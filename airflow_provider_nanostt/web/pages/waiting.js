// Reads the page again now and then: while somebody looks at it, marks nothing in it, and has not switched it off.
(() => {
  const box = document.getElementById("refresh");
  let kept = {};
  try { kept = sessionStorage; } catch { /* a page without an origin keeps nothing */ }
  box.checked = kept.nanosttRefresh !== "off";
  box.closest("label").hidden = false;
  box.addEventListener("change", () => { kept.nanosttRefresh = box.checked ? "on" : "off"; });
  setInterval(() => {
    if (box.checked && !document.hidden && getSelection().isCollapsed) location.reload();
  }, 1000 * box.dataset.seconds);
})();
