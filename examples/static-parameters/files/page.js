// params.js is made with the Space and sets window.PARAMS.
const { heading, message, hours } = window.PARAMS;

document.getElementById("heading").textContent = heading;
document.getElementById("message").textContent = message;

for (const [day, time] of Object.entries(hours)) {
  const [name, value] = [document.createElement("dt"), document.createElement("dd")];
  name.textContent = day;
  value.textContent = time;
  document.getElementById("hours").append(name, value);
}
