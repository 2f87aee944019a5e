// Endpoints: which are in each other's way, and who can reach them, however they are written.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { bindHosts, collide, isLoopback, tcp, type Endpoint } from '../../src/model/endpoint.ts';

const unix = (path: string): Endpoint => ({ kind: 'unix', path });

describe('two addresses', () => {
  test.each<[string, Endpoint, Endpoint, boolean]>([
    ['the same', tcp('127.0.0.1', 1), tcp('127.0.0.1', 1), true],
    ['another port', tcp('127.0.0.1', 1), tcp('127.0.0.1', 2), false],
    ['another loopback', tcp('127.0.0.1', 1), tcp('127.0.0.2', 1), false],
    ['localhost and v4', tcp('localhost', 1), tcp('127.0.0.1', 1), true],
    ['localhost and v6', tcp('LOCALHOST', 1), tcp('0::1', 1), true],
    ['any v4 and one', tcp('0.0.0.0', 1), tcp('127.0.0.1', 1), true],
    ['any v4 and v6', tcp('0.0.0.0', 1), tcp('::1', 1), false],
    ['any and v4', tcp('::', 1), tcp('127.0.0.1', 1), true],
    ['any in full and v4', tcp('0:0:0:0:0:0:0:0', 1), tcp('127.0.0.1', 1), true],
    ['star and any v4', tcp('*', 1), tcp('0.0.0.0', 1), true],
    ['v6 in full and short', tcp('0:0:0:0:0:0:0:1', 1), tcp('::1', 1), true],
    ['v6 in capitals', tcp('2001:DB8::A', 1), tcp('2001:db8:0::a', 1), true],
    ['one link-local address on two interfaces', tcp('fe80::1%eth0', 1), tcp('fe80::1%eth1', 1), false],
    ['v4 as v6', tcp('::ffff:10.0.0.7', 1), tcp('10.0.0.7', 1), true],
    ['v4 as v6 in hex', tcp('::ffff:a00:7', 1), tcp('10.0.0.7', 1), true],
    ['v4 in short', tcp('127.1', 1), tcp('127.0.0.1', 1), true],
    ['names', tcp('Box.example', 1), tcp('box.example', 1), true],
    ['a name and an address', tcp('box.example', 1), tcp('192.0.2.1', 1), false],
    ['auto', tcp('127.0.0.1', 0), tcp('127.0.0.1', 0), false],
    ['one socket', unix('/run/x/../a'), unix('/run//a'), true],
    ['two sockets', unix('/a'), unix('/b'), false],
    ['a socket and a port', unix('/a'), tcp('127.0.0.1', 1), false],
  ])('%s', (_what, a, b, expected) => {
    expect(collide(a, b)).toBe(expected);
    expect(collide(b, a)).toBe(expected);
  });

  test('collide where the system says so', async () => {
    const all =
      '127.0.0.1 127.0.0.2 127.1 ::1 0:0:0:0:0:0:0:1 ::ffff:127.0.0.1 ::ffff:7f00:2 0.0.0.0 :: *'.split(' ');
    const hosts: string[] = []; // those that this machine has
    for (const host of all) {
      const alone = await bind(host, 0);
      if (alone !== null) hosts.push(host);
      alone?.server.close();
    }
    expect(hosts).toContain('127.0.0.1');
    for (const first of hosts)
      for (const second of hosts) {
        const one = await bind(first, 0);
        const other = await bind(second, one?.port ?? 0);
        const where = `${first} and ${second}`;
        if (one !== null) expect(other === null, where).toBe(collide(tcp(first, 1), tcp(second, 1)));
        one?.server.close();
        other?.server.close();
      }
  });
});

/** Null: the address is taken, or there is no IPv6 here. */
async function bind(host: string, port: number): Promise<{ server: Server; port: number } | null> {
  const server = createServer().listen(port, bindHosts(host)[0]);
  try {
    await once(server, 'listening');
    return { server, port: (server.address() as { port: number }).port };
  } catch {
    return null;
  }
}

describe('loopback', () => {
  test.each([
    ['127.0.0.1', true],
    ['127.9', true],
    ['LocalHost', true],
    ['0:0:0:0:0:0:0:1', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:7f00:1', true],
    ['::ffff:10.0.0.1', false],
    ['::ffff:a7f:1', false],
    ['127.example.org', false],
    ['0.0.0.0', false],
    ['*', false],
    ['2001:db8::1', false],
  ])('%s: %s', (host, expected) => {
    expect(isLoopback(tcp(host, 1))).toBe(expected);
  });
});
