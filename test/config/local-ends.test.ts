// Where a tunnel is reached: what its supervisor has bound goes before the file, and a port nobody knows is none.
import { describe, expect, test } from 'vitest';
import { localEnds } from '../../src/config/local-ends.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { ForwardStatus } from '../../src/model/status.ts';

const db = (listen: Endpoint) => ({
  name: 'db',
  env: {},
  forwards: [
    { type: 'remote', name: 'x', probe: null, listen: tcp('h', 0), target: null, allow: [] },
    { type: 'local', name: 'y', probe: null, listen, target: tcp('h', 1), protocol: null },
  ] as const,
});

/** As a supervisor tells it of that forward. */
const told = (listen: string, bound: boolean) => ({
  forwards: [
    { name: 'x', type: 'remote', listen: '127.0.0.1:7', bound: true },
    { name: 'y', type: 'local', listen, bound },
  ] as ForwardStatus[],
});

describe('a tunnel is reached', () => {
  test.each<[string, Endpoint, ReturnType<typeof told> | undefined, readonly Endpoint[] | null]>([
    ['at the port of the file', tcp('127.0.0.1', 5), undefined, [tcp('127.0.0.1', 5)]],
    ['at the port that is bound', tcp('127.0.0.1', 5), told('127.0.0.1:6', true), [tcp('127.0.0.1', 6)]],
    ['at the port of the file while down', tcp('::', 5), told('127.0.0.1:6', false), [tcp('::1', 5)]],
    ['at an auto port', tcp('127.0.0.1', 0), told('[::1]:6', true), [tcp('::1', 6)]],
    ['nowhere while an auto port is down', tcp('127.0.0.1', 0), told('127.0.0.1:0', false), null],
    ['nowhere without a supervisor', tcp('127.0.0.1', 0), undefined, null],
    ['at a socket', { kind: 'unix', path: '/a b' }, told('/a b', true), [{ kind: 'unix', path: '/a b' }]],
  ])('%s', (_, listen, status, expected) => {
    expect(localEnds(db(listen), status)).toEqual(expected);
  });
});

test('forwards without a name are told apart by their order', () => {
  const plain = db(tcp('127.0.0.1', 0));
  const forwards = [0, 1].map(() => ({ ...plain.forwards[1], name: null }));
  const status = {
    forwards: [8, 9].map((port) => ({ ...told(`127.0.0.1:${port}`, true).forwards[1], name: null })),
  } as { forwards: ForwardStatus[] };
  expect(localEnds({ ...plain, forwards }, status)).toEqual([tcp('127.0.0.1', 8), tcp('127.0.0.1', 9)]);
});
