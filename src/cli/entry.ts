// Where the program begins: hidden children first, then the fast ways, and only then the parser and everything behind it.
import { argv, exit, stderr, stdout } from 'node:process';

// `tunnel status | head -1`: whoever reads has read enough, which is no fault. Before anything can be written.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') exit(0);
  throw error;
});
stderr.on('error', () => undefined); // nobody is left to be told

async function run(args: readonly string[]): Promise<number> {
  const [first, ...others] = args;
  if (first === '__supervise') return (await import('../daemon/main.ts')).superviseCommand(others);
  if (first === '__keychain') return (await import('../secrets/keychain-child.ts')).keychainChild();
  const { fast } = await import('./fast.ts');
  return (await fast(args)) ?? (await import('./main.ts')).main(args);
}

process.exitCode = await run(argv.slice(2));
