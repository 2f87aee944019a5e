// What ends a supervisor: read from process tables as systemd and shells make them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stopCommand } from '../../src/control/stop-command.ts';
import { hintText } from '../../src/render/error.ts';
import { temporaryFolder } from '../helpers/folder.ts';

describe('the command that ends a supervisor', () => {
  const table = (parent: string, cgroup: string, argv = 'node\0tunnel\0up\0--foreground\0'): string => {
    const proc = temporaryFolder('proc');
    const write = (pid: number, files: Record<string, string>): void => {
      mkdirSync(join(proc, String(pid)));
      for (const [name, text] of Object.entries(files)) writeFileSync(join(proc, String(pid), name), text);
    };
    write(7, { cmdline: argv, status: 'Name:\tnode\nPPid:\t3\n', cgroup: `0::${cgroup}\n` });
    write(3, { comm: `${parent}\n` });
    return hintText(stopCommand(7, proc));
  };
  const user = '/user.slice/user-1000.slice/user@1000.service/app.slice/tunnel.service';

  test('stops the unit of one that systemd runs, or it would be started again', () => {
    expect(table('systemd', '/system.slice/tunnel.service')).toBe('systemctl stop tunnel.service');
    expect(table('systemd', user)).toBe('systemctl --user stop tunnel.service');
  });

  test('is down for one in the background, which ends with its last tunnel', () => {
    const background = 'node\0tunnel\0__supervise\0/t.yaml\0';
    expect(table('systemd', '/system.slice/cron.service', background)).toBe('tunnel down');
    expect(table('sh', '/', background)).toBe('tunnel down');
  });

  test('is kill for any other', () => {
    expect(table('sh', '/system.slice/tunnel.service')).toBe('kill 7');
    expect(table('systemd', '/user.slice/user-1000.slice/session-3.scope')).toBe('kill 7');
    expect(stopCommand(7, temporaryFolder('proc'))).toBe('kill 7');
  });
});
