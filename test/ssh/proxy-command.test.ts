// ProxyCommand lines: tokens, when a shell is needed, and what is never passed on.
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/model/clock.ts';
import { commandLine, commandStream } from '../../src/ssh/transport-command.ts';
import { hostOf, someUser } from '../helpers/ssh-dialer.ts';

const host = hostOf(
  { port: 2222, user: 'me', identity: '/dev/null' },
  { name: 'katie', hostname: 'katie.example.org', hostKeyAlias: 'kt' },
);

describe('a proxy command', () => {
  test.each([
    ['nc %h %p', ['nc', 'katie.example.org', '2222']],
    ['ssh -W %h:%p bastion', ['ssh', '-W', 'katie.example.org:2222', 'bastion']],
    ['x %n %r %k %% %u', ['x', 'katie', 'me', 'kt', '%', 'me']],
    ['x %u %i %d %l %L', ['x', 'me', '4321', '/home/me', 'laptop.example.org', 'laptop']],
    ['  /usr/bin/nc   -q 1  %h  %p ', ['/usr/bin/nc', '-q', '1', 'katie.example.org', '2222']],
  ])('without anything for a shell is run as it stands: %s', (command, argv) => {
    expect(commandLine(host, command, someUser)).toEqual({ argv, shell: false });
  });

  test.each([
    ['nc "%h" %p 2>/dev/null', 'exec nc "katie.example.org" 2222 2>/dev/null'],
    ['echo $HOME | nc %h %p', 'exec echo $HOME | nc katie.example.org 2222'],
    ['FOO=bar nc %h %p', 'FOO=bar nc katie.example.org 2222'],
  ])('with words for a shell gets one: %s', (command, line) => {
    expect(commandLine(host, command, someUser)).toEqual({ argv: ['/bin/sh', '-c', line], shell: true });
  });

  test.each([
    ['an unknown token', host, 'nc %Q'],
    ['an empty command', host, '  '],
    ['a host name that is an option', { ...host, hostname: '-oProxyCommand=evil' }, 'nc %h %p'],
    ['a host name for the shell', { ...host, hostname: 'a;rm -rf ~' }, 'nc "%h" %p'],
    ['a user for the shell', { ...host, user: '$(id)' }, 'nc %h "%r"'],
  ])('is refused with %s', (_, bad, command) => {
    expect(() => commandLine(bad, command, someUser)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });

  test('that complains without end is logged up to a limit, and its end is told', async () => {
    const logged: string[] = [];
    const stream = await commandStream(host, "head -c 100000 /dev/zero | tr '\\0' x >&2; echo done >&2", {
      clock: systemClock,
      local: someUser,
      variables: { PATH: process.env['PATH'] ?? '' },
      withheld: new Set(),
      log: (_level, _event, message) => logged.push(message),
    });
    const failure = await new Promise((resolve) => stream.resume().once('error', resolve));
    expect(failure).toMatchObject({ code: 'UNREACHABLE' });
    expect(logged).toHaveLength(1);
    expect(logged[0]).toHaveLength('katie: '.length + 8192 + ' … (cut at 8192 characters)'.length);
    expect(logged[0]).toMatch(/x … \(cut at 8192 characters\)$/);
  });

  test('passes a name with shell words on unharmed where no shell reads it', () => {
    expect(commandLine({ ...host, hostname: 'a;b' }, 'nc %h %p', someUser).argv).toEqual([
      'nc',
      'a;b',
      '2222',
    ]);
  });
});
