// Variables of tunnels: names and values by table, what is filled in, and names that two tunnels come to.
import { describe, expect, test } from 'vitest';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { Forward } from '../../src/model/forward.ts';
import {
  localListeners,
  reachedAt,
  tunnelVariables,
  type Reached,
} from '../../src/model/tunnel-variables.ts';

const base = { probe: null, target: tcp('db', 5432) };
const local = (listen: Endpoint, name: string | null = null): Forward => ({
  ...base,
  type: 'local',
  name,
  listen,
  protocol: null,
});
const remote = (name: string | null = null): Forward => ({
  ...base,
  type: 'remote',
  name,
  listen: tcp('127.0.0.1', 0),
  allow: [],
});
const at = (port: number): Endpoint => tcp('127.0.0.1', port);

function reached(name: string, forwards: readonly Forward[], env: Record<string, string> = {}): Reached {
  return { tunnel: { name, forwards, env }, ends: localListeners(forwards).map(({ listen }) => listen) };
}

const variables = (...all: Reached[]): object => Object.fromEntries(tunnelVariables(all));

describe('the variables of a tunnel', () => {
  test.each<[string, Reached, object]>([
    ['one forward', reached('db', [local(at(5432))]), { DB_HOST: '127.0.0.1', DB_PORT: '5432' }],
    [
      'a single forward with a name',
      reached('db', [local(at(1), 'x')]),
      { DB_HOST: '127.0.0.1', DB_PORT: '1' },
    ],
    [
      'a name with other marks',
      reached('db-prod.eu_1', [local(at(1))]),
      { DB_PROD_EU_1_HOST: '127.0.0.1', DB_PROD_EU_1_PORT: '1' },
    ],
    ['a leading digit', reached('3p', [local(at(1))]), { _3P_HOST: '127.0.0.1', _3P_PORT: '1' }],
    [
      'several forwards, a remote one between them',
      reached('s', [local(at(1), 'db'), remote('back'), local(at(2), '6379')]),
      { S_DB_HOST: '127.0.0.1', S_DB_PORT: '1', S_6379_HOST: '127.0.0.1', S_6379_PORT: '2' },
    ],
    [
      'forwards without a name',
      reached('s', [remote(), local(at(1)), local(at(2)), local(at(3), 'c')]),
      { S_HOST: '127.0.0.1', S_PORT: '1', S_C_HOST: '127.0.0.1', S_C_PORT: '3' },
    ],
    ['a remote forward', reached('r', [remote()], { A: 'b' }), { A: 'b' }],
    ['a Unix socket', reached('d', [local({ kind: 'unix', path: '/d.sock' })]), { D_SOCKET: '/d.sock' }],
    [
      'own entries, filled in by the first',
      reached('v', [local(tcp('::1', 7), 'a'), local(at(8), 'b')], { U: 'x://{address}/{host}:{port}' }),
      { V_A_HOST: '::1', V_A_PORT: '7', V_B_HOST: '127.0.0.1', V_B_PORT: '8', U: 'x://[::1]:7/::1:7' },
    ],
    [
      'braces that are no placeholder',
      reached('j', [local(at(7))], { J: '{"a":{port}} ${HOME} {constructor}' }),
      { J_HOST: '127.0.0.1', J_PORT: '7', J: '{"a":7} ${HOME} {constructor}' },
    ],
    [
      'an own entry in place of what the name gives',
      reached('db', [local(at(1))], { DB_HOST: 'localhost' }),
      { DB_HOST: 'localhost', DB_PORT: '1' },
    ],
  ])('%s', (_, tunnel, expected) => {
    expect(variables(tunnel)).toEqual(expected);
  });
});

test.each([
  ['0.0.0.0', '127.0.0.1'],
  ['*', '127.0.0.1'],
  ['::', '::1'],
  ['localhost', 'localhost'],
  ['192.0.2.1', '192.0.2.1'],
])('a listener on %s is reached at %s', (host, expected) => {
  expect(reachedAt(tcp(host, 1))).toEqual(tcp(expected, 1));
});

describe('one name', () => {
  test.each<[string, Reached[], string]>([
    [
      'of two tunnels',
      [reached('db-a', [local(at(1))]), reached('db.a', [local(at(1))])],
      'db-a and db.a come to one name, DB_A_HOST',
    ],
    [
      'of a tunnel and a forward',
      [reached('s', [local(at(1), 'db'), remote('x')]), reached('s-db', [local(at(2))])],
      's and s-db come to one name, S_DB_HOST',
    ],
    [
      'of two forwards',
      [reached('s', [local(at(1), 'a.b'), local(at(2), 'a-b')])],
      'two forwards of s come to the name S_A_B_HOST',
    ],
    [
      'of two entries',
      [reached('a', [remote()], { X: '1' }), reached('b', [remote()], { X: '2' })],
      'a and b come to one name, X',
    ],
  ])('%s is refused', (_, all, message) => {
    expect(() => variables(...all)).toThrow(expect.objectContaining({ code: 'USAGE', message }));
  });

  test('of two entries with one value is one variable', () => {
    expect(variables(reached('a', [remote()], { X: '1' }), reached('b', [remote()], { X: '1' }))).toEqual({
      X: '1',
    });
  });
});
