// The theme's search is a dialog without a name, which screen readers would want to say.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
