// Adds a button to copy each text that may be copied. Without JavaScript the text is there all the same.
for (const text of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = text.dataset.copy;
  button.setAttribute("aria-describedby", text.getAttribute("aria-labelledby"));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text.innerText);
    button.textContent = text.dataset.copied;
  });
  text.after(button);
}
document.documentElement.classList.add("scripted");
