// Environments: what a supervisor starts with, and what it takes from commands.
import { describe, expect, test } from 'vitest';
import { callerEnvironment, supervisorEnvironment, withKnownAgents } from '../../src/model/environment.ts';

describe('environments', () => {
  test('of a supervisor are the listed ones, with places made absolute', () => {
    const env = {
      PATH: '/bin',
      HOME: '/home/me',
      LC_ALL: 'C',
      XDG_RUNTIME_DIR: '/run/user/1',
      TUNNEL_HOME: 'here',
      NODE_OPTIONS: '--inspect',
      SSH_AUTH_SOCK: '/agent',
      AWS_SECRET_ACCESS_KEY: 'x',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/bus',
    };
    expect(supervisorEnvironment({ env, cwd: '/work', platform: 'linux' })).toEqual({
      PATH: '/bin',
      HOME: '/home/me',
      LC_ALL: 'C',
      XDG_RUNTIME_DIR: '/run/user/1',
      TUNNEL_HOME: '/work/here',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/bus',
    });
  });

  test('of commands name their agent, and earlier agents stand behind it, each once', () => {
    const environment = callerEnvironment({ SSH_AUTH_SOCK: '/b', A: '1', B: undefined });
    expect(environment).toEqual({ variables: { SSH_AUTH_SOCK: '/b', A: '1' }, agentSockets: ['/b'] });
    expect(withKnownAgents(environment, ['/a', '/b']).agents).toEqual(['/b', '/a']);
    const many = Array.from({ length: 20 }, (_, index) => `/agent/${index}`);
    expect(withKnownAgents(environment, many).agents).toHaveLength(8);
  });
});
