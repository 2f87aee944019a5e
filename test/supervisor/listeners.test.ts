// Listeners: where to listen instead of an address that is taken, and who holds an address.
import { expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import { AddressBook, remapCandidates } from '../../src/supervisor/listeners.ts';

test('remap offers the nearest ports, then any, and nothing for a socket', () => {
  const offered = remapCandidates(tcp('127.0.0.1', 65_533)) as readonly { port: number }[];
  expect(offered.map(({ port }) => port)).toEqual([65_534, 65_535, 0]);
  expect(remapCandidates({ kind: 'unix', path: '/a' })).toEqual([]);
});

test('an address is held by one tunnel until that gives it back, and is in nobody else’s way at another port', () => {
  const book = new AddressBook();
  const letGo = book.hold(tcp('0.0.0.0', 80), () => 'web');
  expect(book.holderOf(tcp('127.0.0.1', 80), 'db')).toBe('web');
  expect(book.holderOf(tcp('127.0.0.1', 80), 'web')).toBeNull();
  expect(book.holderOf(tcp('127.0.0.1', 81), 'db')).toBeNull();
  letGo();
  letGo();
  expect(book.holderOf(tcp('127.0.0.1', 80), 'db')).toBeNull();
});
