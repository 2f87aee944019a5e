// Where the program begins: hidden children first, then the fast ways, and only then the parser and everything behind it.
/** The folder we stand in may have been removed: yargs asks for it when it is loaded, and would end with a stack trace. */
function keepFolder(): void {
  try {
    process.cwd();
  } catch {
    process.cwd = () => process.env['PWD'] || '/';
  }
}

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
