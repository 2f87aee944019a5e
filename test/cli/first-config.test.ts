// What `init` writes is what the config parser reads.
import { describe, expect, test } from 'vitest';
import { firstConfig, hasNoTunnel, nameFor, portOf, withTunnel } from '../../src/cli/first-config.ts';
import { parseFile } from '../../src/config/parse.ts';

const tunnel = {
  host: 'me@katie.example.org',
  remote: 'katie.example.org:12000',
  local: '2345',
  name: 'katie',
};

describe('a first config', () => {
  test('gives a server with a user an entry of its own', () => {
    expect(firstConfig(tunnel).split('\n').slice(2)).toEqual([
      'hosts:',
      '  katie:',
      '    hostname: katie.example.org',
      '    user: me',
      '',
      'tunnels:',
      '  katie:',
      '    host: katie',
      '    local: 2345',
      '    remote: katie.example.org:12000',
      '',
    ]);
  });

  test('names the entry after the server, whatever the tunnel is called, with the key that was given', () => {
    expect(
      firstConfig({ ...tunnel, name: 'db', identity: '~/my keys/id' })
        .split('\n')
        .slice(2, 9),
    ).toEqual([
      'hosts:',
      '  katie:',
      '    hostname: katie.example.org',
      '    user: me',
      '    identity: "~/my keys/id"',
      '',
      'tunnels:',
    ]);
    expect(firstConfig({ ...tunnel, name: 'db' })).toContain('  db:\n    host: katie\n');
  });

  test.each([
    tunnel,
    { ...tunnel, name: 'db', identity: '~/.ssh/x' },
    { ...tunnel, host: 'katie' },
    { ...tunnel, host: 'me@[2001:db8::1]:2222', name: 'six' },
    { ...tunnel, host: 'true', remote: '[::1]:5432', local: 'auto' },
    { ...tunnel, host: '10.0.0.1:22', remote: '/run/x.sock', local: '[::1]:99' },
  ])('of %o is read without a problem', (answers) => {
    const { issues, settings } = parseFile('/t.yaml', firstConfig(answers));
    expect(issues).toEqual([]);
    expect(settings.tunnels).toHaveProperty(answers.name);
  });

  test.each([
    ['# mine\n', '# mine\ntunnels:\n  katie:\n'],
    ['tunnels:\n', 'tunnels:\n  katie:\n'],
    ['tunnels: {}\n', 'tunnels:\n  katie:\n'],
    ['hosts:\n  b: { hostname: h } # b\n', 'hosts:\n  b: { hostname: h } # b\ntunnels:\n  katie:\n'],
  ])('goes into %j, which has no tunnel yet', (text, beginning) => {
    expect(hasNoTunnel('/t.yaml', text)).toBe(true);
    const written = withTunnel(text, tunnel);
    expect(written.startsWith(beginning), written).toBe(true);
    expect(parseFile('/t.yaml', written)).toMatchObject({
      issues: [],
      settings: { tunnels: { katie: { host: tunnel.host } } },
    });
    expect(hasNoTunnel('/t.yaml', written)).toBe(false);
  });

  test.each(['tunels: {}\n', 'include: other.yaml\n', '[]\n', 'tunnels: [\n'])(
    'does not go into %j, which says something else',
    (text) => expect(hasNoTunnel('/t.yaml', text)).toBe(false),
  );

  test('names a tunnel after its server', () => {
    expect(nameFor('me@katie.example.org')).toBe('katie');
    expect(nameFor('katie')).toBe('katie');
    expect(nameFor('me@10.0.0.1:22')).toBe('10.0.0.1');
    expect(nameFor('[::1]')).toBe('tunnel');
  });

  test('offers the port of the target', () => {
    expect(portOf('db:5432')).toBe('5432');
    expect(portOf('5432')).toBe('5432');
    expect(portOf('/run/x.sock')).toBeNull();
  });
});
