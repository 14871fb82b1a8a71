// Sets the chosen theme before the first paint, so that the page does not flash in the other one.
(() => {
  let theme = null;
  try {
    theme = JSON.parse(localStorage.getItem("tern/settings")).theme;
  } catch {
    // Nothing stored, or nothing readable: the system's choice stands.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
