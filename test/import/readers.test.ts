// What each reader finds in a file of its kind, and what it says of the lines that cannot be carried over.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSource } from '../../src/config/source.ts';
import { readConfigLines } from '../../src/config/ssh-config/lines.ts';
import { readForeign, formatOf } from '../../src/import/read.ts';

const folder = resolve(import.meta.dirname, '../fixtures/import');
const parsers = { sshConfig: readConfigLines, yaml: (text: string) => readSource('/f', text).value };

/** LINE NAME HOST FORWARDS SETTINGS of each tunnel, then LINE: REASON of what is left behind. */
async function told(text: string, own = false): Promise<string[]> {
  const { tunnels, left } = await readForeign(text, own, parsers);
  return [
    ...tunnels.map(({ line, name, host, forwards, settings }) =>
      [
        line,
        name,
        host,
        ...forwards.map(({ letter, spec }) => `-${letter} ${spec}`),
        JSON.stringify(settings),
      ].join(' '),
    ),
    ...left.map(({ line, reason }) => `${line}: ${reason}`),
  ];
}

const fixture = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('a file of tunnels', () => {
  test.each([
    ['ssh_config', 'ssh_config'],
    ['tunnels.sh', 'command lines'],
    ['pasted.txt', 'command lines'],
    ['autossh.sh', 'command lines'],
    ['tunnel.service', 'command lines'],
    ['boring.toml', 'boring'],
    ['portato.yaml', 'Portato'],
    ['tunlite.json', 'tunlite'],
    ['mole.toml', 'mole'],
  ])('%s is known for what it is: %s', async (name, format) => {
    expect(formatOf(fixture(name))).toBe(format);
    expect(await told(fixture(name), name === 'ssh_config')).toMatchSnapshot();
  });

  test.each([
    ["ssh -NL5432:db:5432 'me@a b'", ['1  me@a b -L 5432:db:5432 {}']],
    ['ssh -N -L 1:a:1 "$HOST"', ['1: ssh: $HOST is known only when it runs: write its value instead']],
    ['A=1; A=2; ssh -N -L $A:a:1 h', ['1: ssh: $A is known only when it runs: write its value instead']],
    ["ssh -N -L '$1:a:1' h", ['1  h -L $1:a:1 {}']],
    ['# ssh -N -L 1:a:1 h', []],
    ['ssh -N -L 1:a:1 h # there', ['1  h -L 1:a:1 {}']],
    ['ssh -N -L 1:a:1', ['1: ssh: it names no server']],
    [
      'ssh -F other -N -L 1:a:1 h',
      ['1: ssh: -F names another ssh_config, whose settings are not known here'],
    ],
    ['ssh h uptime; ssh -N \\\n -D 1080 h', ['1  h -D 1080 {}']],
    ['ssh -i k -o IdentitiesOnly=yes -ND 1 h', ['1  h -D 1 {"identity":["k"],"identities_only":true}']],
  ])('a command line %j gives %j', async (line, expected) => {
    expect(await told(line)).toEqual(expected);
  });

  test('another ssh_config gives the settings of its hosts too', async () => {
    const text = 'Host a\n  HostName a.x\n  Port 2222\n  IdentityFile ~/.ssh/a\n  LocalForward 1 b:2\n';
    expect(await told(text)).toEqual([
      '1 a a -L 1:b:2 {"hostname":"a.x","port":2222,"identity":["~/.ssh/a"],"ssh_config":false}',
    ]);
    expect(await told(text, true)).toEqual(['1 a a -L 1:b:2 {}']);
  });
});
