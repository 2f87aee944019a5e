// `tunnel show`: the document of SPEC 4, and the text, with no secret in either.
import { describe, expect, test } from 'vitest';
import { showDocument, showText } from '../../src/config/show.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createHome } from './home.ts';

const text = `
hosts:
  katie: { hostname: k.x, user: u, identity: ~/k, jump: b, password: "command:[pass, show, k]", host_key_alias: kk }
  b: { hostname: b.x, user: v, agent: /run/a.sock, host_keys: strict, known_hosts: /kh, proxy: "socks5://me@p:1080" }
tunnels:
  a: { host: katie, local: auto, remote: "db:5432", tags: [x], ways: [b, direct], env: { U: "pg://{address}" } }
  s:
    host: b
    forwards:
      - { name: web, type: remote, remote: 8080, local: 3000 }
      - { type: remote, remote: /run/r.sock, allow: ["*:22"] }
      - D 1080
      - { local: ~/l.sock, remote: /r.sock }
`;

const ownStore = '/state/known_hosts';

async function config() {
  const home = createHome();
  return { home, config: await loadConfig(home.write('tunnels.yaml', text), home.account) };
}

describe('what is shown', () => {
  test('is the document of the spec', async () => {
    const { home, config: resolved } = await config();
    const global = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];
    const bastion = {
      name: 'b',
      hostname: 'b.x',
      port: 22,
      user: 'v',
      identities: [],
      certificates: [],
      agent: '/run/a.sock',
      proxyCommand: null,
      hostKeyAlias: null,
      knownHosts: [ownStore, '/kh', ...global],
      hostKeys: 'strict',
    };
    const katie = {
      ...bastion,
      name: 'katie',
      hostname: 'k.x',
      user: 'u',
      identities: [`${home.folder}/k`],
      agent: '/run/auth.sock',
      hostKeyAlias: 'kk',
      knownHosts: [
        ownStore,
        `${home.folder}/.ssh/known_hosts`,
        `${home.folder}/.ssh/known_hosts2`,
        ...global,
      ],
      hostKeys: 'ask',
    };
    expect(showDocument(resolved, ['a', 's'], { agentSocket: '/run/auth.sock', ownStore })).toEqual([
      {
        name: 'a',
        hops: [bastion, katie],
        forwards: [{ type: 'local', listen: '127.0.0.1:auto', target: 'db:5432' }],
        tags: ['x'],
        env: { U: 'pg://{address}' },
        ways: [[bastion, katie], [katie]],
      },
      {
        name: 's',
        hops: [bastion],
        forwards: [
          { type: 'remote', listen: '127.0.0.1:8080', target: '127.0.0.1:3000' },
          { type: 'remote', listen: '/run/r.sock', target: '*' },
          { type: 'dynamic', listen: '127.0.0.1:1080', target: '*' },
          { type: 'local', listen: `${home.folder}/l.sock`, target: '/r.sock' },
        ],
        tags: [],
      },
    ]);
    expect(showDocument(resolved, ['a'], { agentSocket: undefined, ownStore })[0]?.hops[1]?.agent).toBeNull();
    expect(showDocument(resolved, [], { agentSocket: undefined, ownStore })).toEqual([]);
  });

  test('reads well, and names a secret by its source', async () => {
    const { home, config: resolved } = await config();
    const shown = showText(resolved, ['a', 's'], ownStore).replaceAll(home.folder, '~');
    expect(shown).toContain(
      'a\n  local         127.0.0.1:auto → db:5432\n  tags          x\n  env           U=pg://{address}\n',
    );
    expect(shown).toContain('  way 2         katie\n  server        katie  u@k.x:22\n');
    expect(shown).toContain('    password      command:[pass, show, k]\n');
    expect(shown).toContain('    proxy         socks5://p:1080\n');
    expect(shown).toContain(`    known hosts   ${ownStore}, `);
    expect(shown).toContain('  remote        127.0.0.1:8080 → 127.0.0.1:3000  (web)\n');
  });

  test('names the command that makes a certificate', async () => {
    const home = createHome();
    const file = home.write(
      'tunnels.yaml',
      'tunnels: { a: { host: k, local: 1, remote: 2, certificate: { command: [issue, k k], file: /k-cert.pub } } }',
    );
    const resolved = await loadConfig(file, home.account);
    expect(showText(resolved, ['a'], ownStore)).toContain(
      "    certificates  /k-cert.pub\n    made by       issue 'k k'  (10m before it ends)\n",
    );
    const [shown] = showDocument(resolved, ['a'], { agentSocket: undefined, ownStore });
    expect(shown?.hops[0]).toMatchObject({
      certificates: ['/k-cert.pub'],
      certificateCommand: ['issue', 'k k'],
    });
  });
});
