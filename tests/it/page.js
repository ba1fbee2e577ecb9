// What a person would see of the page, as numbers: run within it by the tests.
const box = (element) => element.getBoundingClientRect();
const rgb = (text) => {
  const numbers = text.match(/[\d.]+/g).map(Number);
  return numbers.length === 4 ? numbers : [...numbers, 1];
};
const luminance = ([r, g, b]) => {
  const part = (value) => {
    const s = value / 255;
    return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = rgb(getComputedStyle(at).backgroundColor);
    if (color[3] === 1) return color;
  }
  return [255, 255, 255, 1];
};
document.querySelectorAll("details").forEach((details) => (details.open = true));
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || element.closest("style")) continue;
  const [one, other] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))].sort((a, b) => b - a);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < 4.5) faint.push([node.data.trim().slice(0, 40), contrast]);
}
const wide = [...document.querySelectorAll("body *")].filter((element) => {
  const { left, right, width } = box(element);
  return width > 0 && (right > innerWidth + 0.5 || left < -0.5);
});
const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.tagName[1]));
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
return {
  names: [...document.querySelectorAll("#environments h3")].map((heading) => heading.textContent),
  unseen: [...document.querySelectorAll("#environments h3")].filter((heading) => box(heading).height < 8).length,
  scroll: document.documentElement.scrollWidth,
  inner: innerWidth,
  wide: wide.map((element) => element.outerHTML.slice(0, 120)),
  faint,
  jumps: levels.filter((level, at) => level > (levels[at - 1] ?? 0) + 1),
  landmarks: ["header", "main", "footer"].filter((name) => document.querySelectorAll(`body > ${name}`).length !== 1),
  nameless: [...document.querySelectorAll("section, article")].filter((part) => {
    const label = document.getElementById(part.getAttribute("aria-labelledby"));
    return !label || !label.textContent.trim();
  }).length,
  deadLinks: [...document.querySelectorAll("a")].filter((a) => !document.querySelector(a.getAttribute("href"))).length,
  // Each focus lays the page out anew: the first ones will do.
  unfocusable: [...document.querySelectorAll("summary, a")].filter((one, at) => {
    if (at < 20) one.focus();
    return (at < 20 && document.activeElement !== one) || one.tabIndex !== 0;
  }).length,
  twice: ids.length - new Set(ids).size,
  scripts: document.scripts.length,
  loaded: performance.getEntriesByType("resource").length,
  lang: document.documentElement.lang,
  ground: getComputedStyle(document.body).backgroundColor,
  millis: performance.getEntriesByType("navigation")[0].loadEventEnd,
};
