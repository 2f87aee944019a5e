// Port ranges: each port is a forward of its own, named by its port.
import { describe, expect, test } from 'vitest';
import { formatEndpoint } from '../../src/model/endpoint.ts';
import { parseConfig } from '../helpers/config.ts';

/** NAME TYPE LISTEN TARGET of each forward. */
function forwardsOf(tunnel: string): string[] {
  const read = parseConfig('/t.yaml', `tunnels:\n  t: ${tunnel}\n`);
  if ('issues' in read) throw new Error(JSON.stringify(read.issues));
  return [...read.config.tunnels.values()].flatMap(({ forwards }) =>
    forwards.map((forward) => {
      const target =
        forward.type === 'dynamic' || forward.target === null ? '*' : formatEndpoint(forward.target);
      return `${forward.name} ${forward.type} ${formatEndpoint(forward.listen)} ${target}`;
    }),
  );
}

const three = [
  '3000 local 127.0.0.1:3000 app:8000',
  '3001 local 127.0.0.1:3001 app:8001',
  '3002 local 127.0.0.1:3002 app:8002',
];

describe('a range of ports', () => {
  test.each([
    ['as keys of a tunnel', '{ host: h, local: 3000-3002, remote: "app:8000-8002" }', three],
    ["in ssh's spelling", '{ host: h, forwards: ["L 3000-3002:app:8000-8002"] }', three],
    [
      'with a name',
      '{ host: h, forwards: [{ name: app, local: "[::1]:1-2", remote: 1-2 }] }',
      ['app-1 local [::1]:1 127.0.0.1:1', 'app-2 local [::1]:2 127.0.0.1:2'],
    ],
    [
      'on the server',
      '{ host: h, forwards: ["R *:1-2:[::1]:5-6"] }',
      ['1 remote *:1 [::1]:5', '2 remote *:2 [::1]:6'],
    ],
    [
      'of ports that another one has elsewhere',
      '{ host: h, forwards: ["L 127.0.0.2:1-2:a:5-6", "L 127.0.0.3:1-2:b:5-6", "R 127.0.0.3:1-2:c:5-6", { name: "2", local: 9, remote: 9 }] }',
      [
        '1 local 127.0.0.2:1 a:5',
        '127.0.0.2:2 local 127.0.0.2:2 a:6',
        '127.0.0.3:1 local 127.0.0.3:1 b:5',
        '127.0.0.3:2 local 127.0.0.3:2 b:6',
        'remote-127.0.0.3:1 remote 127.0.0.3:1 c:5',
        'remote-127.0.0.3:2 remote 127.0.0.3:2 c:6',
        '2 local 127.0.0.1:9 127.0.0.1:9',
      ],
    ],
    [
      'of one port is a forward like any other',
      '{ host: h, local: 80-80, remote: "a:90" }',
      ['null local 127.0.0.1:80 a:90'],
    ],
    [
      'in the name of a socket is none',
      '{ host: h, local: ./a:1-2, remote: /b:1-2 }',
      ['null local ./a:1-2 /b:1-2'],
    ],
  ])('%s', (_, tunnel, expected) => {
    expect(forwardsOf(tunnel)).toEqual(expected);
  });
});
