// Inserts the parameters of the request into the page, as text.
document.title = window.PARAMS.headline;
document.getElementById("headline").textContent = window.PARAMS.headline;
document.getElementById("text").textContent = window.PARAMS.text;
const button = document.getElementById("button");
button.textContent = window.PARAMS.button;
button.href = window.PARAMS.link;
