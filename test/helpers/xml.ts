// A strict reader of small XML documents: elements, attributes and text. What is not well-formed throws.

export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Of this element alone. */
  text: string;
  readonly inside: Element[];
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const attribute = /\s+([\w:-]+)="([^"<]*)"/g;
const tag = new RegExp(`^<(/?)([\\w:-]+)((?:${attribute.source})*)\\s*(/?)>$`);

/** The document's root. */
export function readXml(document: string): Element {
  // oxlint-disable-next-line no-control-regex -- no document may have them (XML 1.0, 2.2)
  const odd = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.exec(document);
  if (odd !== null) throw new Error(`a character that no XML may have, at ${odd.index}`);
  const top: Element = { name: '', attributes: {}, text: '', inside: [] };
  const open = [top];
  for (const part of document.split(/(<[^>]*>)/)) {
    const here = open.at(-1) ?? top;
    if (!part.startsWith('<')) {
      here.text += plain(part);
      continue;
    }
    const [, closing, name = '', attributes = '', , , alone] = tag.exec(part) ?? [];
    if (name === '') throw new Error(`not a tag: ${part}`);
    if (closing === '/') {
      if (here.name !== name || open.length === 1) throw new Error(`${part} ends <${here.name}>`);
      open.pop();
      continue;
    }
    const pairs = [...attributes.matchAll(attribute)].map(([, key = '', value = '']) => [key, plain(value)]);
    const element: Element = { name, attributes: Object.fromEntries(pairs), text: '', inside: [] };
    here.inside.push(element);
    if (alone !== '/') open.push(element);
  }
  const [root] = top.inside;
  if (open.length > 1 || root === undefined || top.inside.length > 1)
    throw new Error('not one whole element');
  return root;
}

/** All of that name, in their order. */
export function allOf(root: Element, name: string): readonly Element[] {
  return [...(root.name === name ? [root] : []), ...root.inside.flatMap((element) => allOf(element, name))];
}

function plain(text: string): string {
  return text.replace(/&(\w*);?/g, (whole, name: string) => {
    const meant = whole.endsWith(';') ? entities[name] : undefined;
    if (meant === undefined) throw new Error(`an ampersand that is none: ${whole}`);
    return meant;
  });
}
