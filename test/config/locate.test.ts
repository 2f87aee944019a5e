// Finding the config: the order of places, what is said when there is none, and what makes two files one.
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { configIdentity, findConfig } from '../../src/config/locate.ts';
import { placesOf } from '../../src/paths.ts';
import { createHome } from './home.ts';
import { hinting } from '../helpers/hint.ts';

function world(env: Record<string, string> = {}) {
  const home = createHome(env);
  const cwd = join(home.folder, 'work');
  mkdirSync(cwd);
  const facts = { ...home.account, cwd };
  return { home, cwd, find: (option?: string) => findConfig(placesOf(facts), facts, option) };
}

describe('the config', () => {
  test('is --config before TUNNEL_CONFIG, and naming it is no project file', () => {
    const { home, find } = world({ TUNNEL_CONFIG: '~/by-env.yaml' });
    const byEnv = home.write('by-env.yaml', '');
    const byOption = home.write('work/by-option.yaml', '');
    expect(find('by-option.yaml')).toEqual({ path: byOption, project: false, named: true });
    expect(find()).toEqual({ path: byEnv, project: false, named: true });
  });

  test('is the file of this folder before the one of the user, and then a project file', () => {
    const { home, find } = world();
    const own = home.write('.config/tunnel/tunnels.yaml', '');
    expect(find()).toEqual({ path: own, project: false, named: false });
    const project = home.write('work/tunnels.yaml', '');
    expect(find()).toEqual({ path: project, project: true, named: false });
  });

  test('is nothing but the file of TUNNEL_HOME where that is set', () => {
    const { home, find } = world({ TUNNEL_HOME: '/nonexistent' });
    home.write('work/tunnels.yaml', '');
    expect(() => find()).toThrow('no config, looked at /nonexistent/tunnels.yaml');
  });

  test('that is nowhere is CONFIG_MISSING with every place in short', () => {
    const { find } = world();
    expect(() => find()).toThrow(
      expect.objectContaining({
        code: 'CONFIG_MISSING',
        message: 'no config, looked at ./tunnels.yaml and ~/.config/tunnel/tunnels.yaml',
        hint: hinting('tunnel init'),
      }),
    );
    expect(() => find('x.yaml')).toThrow('no config, looked at ./x.yaml');
  });

  test('is one file by the real path of its folder; its own name is not followed', () => {
    const { home, cwd } = world();
    symlinkSync(cwd, join(home.folder, 'link'));
    symlinkSync('elsewhere.yaml', join(cwd, 'tunnels.yaml'));
    expect(configIdentity(join(home.folder, 'link', 'tunnels.yaml'))).toBe(
      configIdentity(join(cwd, 'tunnels.yaml')),
    );
    expect(configIdentity(join(cwd, 'tunnels.yaml'))).toMatch(/work\/tunnels\.yaml$/);
    expect(configIdentity('/gone/away/t.yaml')).toBe('/gone/away/t.yaml');
  });
});
