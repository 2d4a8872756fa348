// Tells the server the zone of this device, so that times are right from the first page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

for (const field of document.querySelectorAll("input[data-timezone]")) {
  field.value = zone || "";
}
