// Where the program begins: hidden children first, then the fast ways, and only then the parser and everything behind it.
// `tunnel status | head -1`: whoever reads has read enough, which is no fault. Before anything can be written.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

async function run(args: readonly string[]): Promise<number> {
  const [first, ...others] = args;
  if (first === '__supervise') return (await import('../daemon/main.ts')).superviseCommand(others);
  if (first === '__keychain') return (await import('../secrets/keychain-child.ts')).keychainChild();
  const { fast } = await import('./fast.ts');
  return (await fast(args)) ?? (await import('./main.ts')).main(args);
}

void run(process.argv.slice(2)).then((code) => (process.exitCode = code));
