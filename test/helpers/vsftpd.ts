// A real vsftpd on loopback, run as whoever runs the test, which serves one folder to everybody.
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/** Not 127.0.0.1: a data connection that does not go through the tunnel finds nobody. */
export const behind = '127.0.0.2';

/** Resolves when it greets. `folder` takes its config, `files` is what it serves. */
export async function startVsftpd(folder: string, files: string, port: number): Promise<ChildProcess> {
  const config = join(folder, 'vsftpd.conf');
  const lines = [
    'listen=YES',
    `listen_address=${behind}`,
    `listen_port=${port}`,
    'background=NO',
    'run_as_launching_user=YES',
    'anonymous_enable=YES',
    'no_anon_password=YES',
    `ftp_username=${userInfo().username}`,
    `anon_root=${files}`,
    'write_enable=YES',
    'anon_upload_enable=YES',
    'anon_mkdir_write_enable=YES',
    'anon_other_write_enable=YES',
    'anon_world_readable_only=NO',
    'allow_writeable_chroot=YES',
    'pasv_address=203.0.113.9', // as often behind NAT: must be ignored
    'seccomp_sandbox=NO',
    'async_abor_enable=YES',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  const server = spawn('vsftpd', [config], { stdio: 'inherit' });
  for (let up = false; !up;) {
    const probe = connect(port, behind);
    up = await new Promise((resolve) => {
      probe.once('data', () => resolve(true));
      probe.once('error', () => resolve(false));
    });
    probe.destroy();
  }
  return server;
}
