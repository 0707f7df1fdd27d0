// Before anything is drawn: dark or light as it was chosen here, or else as the system has it.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* no storage: the system's */ }
