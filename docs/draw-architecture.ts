// Draws docs/architecture.svg from the real imports: rooms on their floors, and an arrow for what one imports of another.
// `npm run docs` writes the picture; test/architecture.test.ts compares it with the imports of today.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { files, ownImports, roomOf } from '../test/helpers/house.ts';

/** From the top; a floor imports only from floors below (DESIGN 3). */
const floors: readonly (readonly string[])[] = [
  ['cli', 'library.ts'],
  ['client', 'daemon', 'demo', 'page'],
  ['supervisor'],
  ['ssh', 'forward'],
  ['config', 'trust', 'secrets', 'control', 'render'],
  ['files', 'keys'],
  ['model'],
  ['errors.ts', 'paths.ts', 'sha256.ts'],
];

const box = { width: 132, height: 48, gap: 26, floor: 104, left: 120 } as const;
const width = box.left + 5 * (box.width + box.gap) + 20;

interface Room {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

function placed(): Map<string, Room> {
  const rooms = new Map<string, Room>();
  for (const [floor, names] of floors.entries()) {
    const there = names.filter((name) => files.some((file) => roomOf(file) === name));
    const row = there.length * (box.width + box.gap) - box.gap;
    for (const [index, name] of there.entries()) {
      const x = box.left + (width - box.left - 20 - row) / 2 + index * (box.width + box.gap);
      rooms.set(name, { name, x, y: 30 + floor * box.floor });
    }
  }
  return rooms;
}

/** How many imports lead from one room to another, by value and by type. */
function edges(): Map<string, number> {
  const counted = new Map<string, number>();
  for (const file of files)
    for (const { target } of ownImports(file)) {
      const [from, to] = [roomOf(file), roomOf(target)];
      // Everybody knows the words of the product and their errors: those arrows would hide all others.
      if (from === to || ['errors.ts', 'paths.ts', 'sha256.ts', 'model'].includes(to)) continue;
      counted.set(`${from} ${to}`, (counted.get(`${from} ${to}`) ?? 0) + 1);
    }
  return counted;
}

function arrow(from: Room, to: Room, count: number): string {
  const [x1, y1] = [from.x + box.width / 2, from.y + box.height];
  const [x2, y2] = [to.x + box.width / 2, to.y];
  // Two rooms of one floor: an arrow from side to side.
  const path =
    from.y === to.y
      ? `M${x1} ${from.y} C${x1} ${from.y - 26} ${x2} ${to.y - 26} ${x2} ${to.y}`
      : `M${x1} ${y1} C${x1} ${y1 + 40} ${x2} ${y2 - 40} ${x2} ${y2}`;
  const thick = count < 4 ? 1 : count < 16 ? 2.5 : 5;
  return `<path d="${path}" fill="none" stroke="#57708c" stroke-opacity="0.45" stroke-width="${thick}"><title>${from.name} → ${to.name}</title></path>`;
}

function drawn({ name, x, y }: Room): string {
  return [
    `<rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="6" fill="#fff" stroke="#1f3a57"/>`,
    `<text x="${x + box.width / 2}" y="${y + 29}" text-anchor="middle" font-weight="bold">${name}</text>`,
  ].join('\n');
}

/** The picture, as SVG. */
export function picture(): string {
  const rooms = placed();
  const height = 30 + floors.length * box.floor;
  const arrows = [...edges()]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([names, count]) => {
      const [from, to] = names.split(' ').map((name) => rooms.get(name));
      return from && to ? [arrow(from, to, count)] : [];
    });
  const labels = floors.map((_, index) => {
    const y = 30 + index * box.floor + box.height / 2 + 4;
    return `<text x="16" y="${y}" fill="#888">floor ${Math.min(6, floors.length - 1 - index)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#f7f9fb"/>`,
    ...arrows,
    ...labels,
    ...[...rooms.values()].map(drawn),
    '</svg>',
    '',
  ].join('\n');
}

export const pictureFile = resolve(import.meta.dirname, 'architecture.svg');

if (process.argv[1] === import.meta.filename) writeFileSync(pictureFile, picture());
