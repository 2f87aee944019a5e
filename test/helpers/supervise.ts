// The supervisor as a program of its own, run from the sources: what bin/tunnel.js does with __supervise and __keychain,
// and `foreground` for `up --foreground`.
import { hostname, tmpdir } from 'node:os';
import { superviseCommand, superviseHere } from '../../src/daemon/main.ts';
import { asTunnelError, exitCodeOf } from '../../src/errors.ts';
import { keychainChild } from '../../src/secrets/keychain-child.ts';

const [, , word, ...rest] = process.argv;
// What happens to a supervisor with a bug in it: thrown where nobody catches.
if (process.env['TUNNEL_TEST_BUG'] === '1') {
  process.on('SIGUSR2', () => {
    throw new RangeError('planted by a test');
  });
  process.on('SIGCONT', () => void Promise.reject(new RangeError('a promise broken by a test')));
}

async function foreground([config = '', ...selectors]: readonly string[]): Promise<number> {
  const { env, platform, stderr } = process;
  const uid = process.getuid?.() ?? 0;
  const facts = {
    env,
    platform,
    uid,
    home: env['HOME'] ?? '/',
    tmpdir: tmpdir(),
    hostname: hostname(),
    cwd: '/',
  };
  try {
    return await superviseHere({
      config,
      selectors,
      facts,
      stderr,
      verbose: false,
      project: false,
      drainMs: 0,
      acceptNew: false,
      remap: false,
    });
  } catch (thrown) {
    const error = asTunnelError(thrown);
    stderr.write(`${error.code} ${error.message}\n`);
    return exitCodeOf(error.code);
  }
}

if (word === '__keychain') await keychainChild();
else process.exitCode = word === 'foreground' ? await foreground(rest) : await superviseCommand(rest);
