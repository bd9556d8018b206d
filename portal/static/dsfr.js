// The DSFR's colours follow the browser's: light or dark. Without JavaScript they are light.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.setAttribute("data-fr-theme", dark.matches ? "dark" : "light");
dark.addEventListener("change", follow);
follow();
