// Where the program begins: hidden children first, then the fast ways, and only then the parser and everything behind it.
/** The folder we stand in may have been removed: yargs asks for it when it is loaded, and would end with a stack trace. */
function keepFolder(): void {
  try {
    process.cwd();
  } catch {
    process.cwd = () => process.env['PWD'] || '/';
  }
}

/** The reader of a pipe has left, or a terminal has hung up. */
const readerGone = ['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED'];

// Before anything can be written. `tunnel status | head -1`: whoever reads has read enough, which is no fault; what was
// begun is done, and ends as it would have. A result that is lost (a full disk) is one.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (readerGone.includes(code ?? '')) return;
  process.stderr.on('error', () => undefined);
  process.stderr.write(`tunnel: writing failed, on the standard output: ${message}\n`);
  process.exit(1);
});

async function run(args: readonly string[]): Promise<number> {
  keepFolder();
  const [first, ...others] = args;
  if (first === '__supervise') return (await import('../daemon/main.ts')).superviseCommand(others);
  if (first === '__keychain') return (await import('../secrets/keychain-child.ts')).keychainChild();
  const { fast } = await import('./fast.ts');
  return (await fast(args)) ?? (await import('./main.ts')).main(args);
}

/** How long a command that is over waits for a file that does not answer: exit(3) would wait for ever. */
const hangingMs = 2000;

void run(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
  setTimeout(() => {
    const hangs = process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
    if (!hangs) return;
    process.emit('exit', code);
    process.kill(process.pid, 'SIGKILL');
  }, hangingMs).unref();
});
