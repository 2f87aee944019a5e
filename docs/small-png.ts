// A PNG (RFC 2083) of at most 256 colours: a screen of text takes a third of what a browser's screenshot does. Pure.
import { crc32, deflateSync } from 'node:zlib';

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue and alpha of each, row by row; alpha is not looked at. */
  readonly rgba: Uint8Array;
}

/** Where there are more colours, those most used stay exact, and each of the rest becomes the nearest of them. */
export function smallPng({ width, height, rgba }: Pixels): Buffer {
  const colors = Array.from({ length: width * height }, (_, index) => colorAt(rgba, 4 * index));
  const counts = new Map<number, number>();
  for (const color of colors) counts.set(color, (counts.get(color) ?? 0) + 1);
  const palette = [...counts]
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, 256)
    .map(([color]) => color);
  const places = new Map([...counts.keys()].map((color) => [color, nearest(palette, color)]));
  const rows = Buffer.alloc(height * (width + 1)); // each row begins with its filter: none
  for (const [index, color] of colors.entries())
    rows[index + Math.floor(index / width) + 1] = places.get(color) ?? 0;
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8); // 8 bits, by palette
  return Buffer.concat([
    Buffer.from('\u0089PNG\r\n\u001a\n', 'latin1'),
    chunk('IHDR', head),
    chunk('PLTE', Buffer.from(palette.flatMap(parts))),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const colorAt = (rgba: Uint8Array, at: number): number =>
  ((rgba[at] ?? 0) << 16) | ((rgba[at + 1] ?? 0) << 8) | (rgba[at + 2] ?? 0);

const parts = (color: number): readonly [number, number, number] => [
  color >> 16,
  (color >> 8) & 255,
  color & 255,
];

function nearest(palette: readonly number[], color: number): number {
  const [red, green, blue] = parts(color);
  const distances = palette.map((each) => {
    const [r, g, b] = parts(each);
    return (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
  });
  return distances.indexOf(Math.min(...distances));
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}
