// The few things that the page does to its elements. Text goes in as text, never as markup.

export const element = (id) => document.getElementById(id);

export function fromTemplate(id) {
  return element(id).content.cloneNode(true);
}

/** Sets the text only if it is another one, so that screen readers and animations are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `list` the items, in order: one element a key, made once, moved and updated in place. What has
 * the keyboard focus keeps it.
 */
export function reconcile(list, items, key, make, update) {
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let place = list.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    let node = known.get(id);
    known.delete(id);
    if (!node) {
      node = make(item);
      node.dataset.key = id;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else list.insertBefore(node, place);
  }
  for (const node of known.values()) node.remove();
}

/** Says something to screen readers, in turn and without moving the focus. */
export function announce(text) {
  const log = element("announcements");
  const line = document.createElement("span");
  line.textContent = `${text}. `;
  log.append(line);
  while (log.childElementCount > 5) log.firstElementChild.remove();
}
