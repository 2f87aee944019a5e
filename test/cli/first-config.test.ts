// What `init` writes is what the config parser reads.
import { describe, expect, test } from 'vitest';
import { firstConfig, nameFor, portOf } from '../../src/cli/first-config.ts';
import { parseFile } from '../../src/config/parse.ts';

const tunnel = {
  host: 'vertanen@katie.mtech.edu',
  remote: 'katie.mtech.edu:12000',
  local: '2345',
  name: 'katie',
};

describe('a first config', () => {
  test('gives a server with a user an entry of its own', () => {
    expect(firstConfig(tunnel).split('\n').slice(1)).toEqual([
      'hosts:',
      '  katie:',
      '    hostname: katie.mtech.edu',
      '    user: vertanen',
      '',
      'tunnels:',
      '  katie:',
      '    host: katie',
      '    local: 2345',
      '    remote: katie.mtech.edu:12000',
      '',
    ]);
  });

  test.each([
    tunnel,
    { ...tunnel, host: 'katie' },
    { ...tunnel, host: 'me@[2001:db8::1]:2222', name: 'six' },
    { ...tunnel, host: 'true', remote: '[::1]:5432', local: 'auto' },
    { ...tunnel, host: '10.0.0.1:22', remote: '/run/x.sock', local: '[::1]:99' },
  ])('of %o is read without a problem', (answers) => {
    const { issues, settings } = parseFile('/t.yaml', firstConfig(answers));
    expect(issues).toEqual([]);
    expect(settings.tunnels).toHaveProperty(answers.name);
  });

  test('names a tunnel after its server', () => {
    expect(nameFor('vertanen@katie.mtech.edu')).toBe('katie');
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
