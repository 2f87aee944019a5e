// The ssh of this machine, known by what it says and not by its number: distributions backport, and 9.2 is several ssh.
import { spawnSync } from 'node:child_process';

/** What it makes of these lines of ssh_config; '' when it refuses one, or when there is no ssh. */
export function sshSays(...lines: readonly string[]): string {
  const options = lines.flatMap((line) => ['-o', line]);
  const { status, stdout } = spawnSync('ssh', ['-F', 'none', ...options, '-G', '--', 'x'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout : '';
}

export const sshTakes = (...lines: readonly string[]): boolean => sshSays(...lines) !== '';

/** An ssh to compare with. */
export const sshInstalled = sshTakes();

/** Since 8.7 a line is words with single quotes, escapes and a comment at its end. */
export const sshReadsWords = sshTakes('User=a # b');

/** `ProxyJump none` leaves a ProxyCommand behind it: since 9.3, and in what Debian made of 9.2 later. */
export const sshJumpNoneLeavesCommand = sshSays('ProxyJump=none', 'ProxyCommand=nc').includes(
  '\nproxycommand nc\n',
);
