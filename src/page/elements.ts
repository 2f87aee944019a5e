// Elements of the page: made from words, never from markup, so that text of servers and files stays text.

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  ...inside: readonly (string | Node)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  made.append(...inside);
  return made;
}

export function drawing(tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** Sets a text only where it is another one: what somebody has selected stays selected. */
export function say(where: Element, text: string): void {
  if (where.textContent !== text) where.textContent = text;
}

/** Shows these nodes, and no others, there. */
export function fill(where: Element, ...inside: readonly (string | Node)[]): void {
  where.replaceChildren(...inside);
}

export function found(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}
