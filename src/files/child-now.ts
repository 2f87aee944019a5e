// A program asked while everything waits: for the moment in which a lock is decided. The other half of child.ts's door.

/** What it prints, or its exit code where that is not 0. Throws where it cannot be started or takes too long. */
export function outputNow(program: string, args: readonly string[], limitMs: number): string | number {
  // Not imported: `status` passes here on Linux too, and loading it costs 3 ms there for nothing.
  const { execFileSync } = process.getBuiltinModule('node:child_process');
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      env: { LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: limitMs,
    });
  } catch (thrown) {
    const { status } = thrown as { status?: unknown };
    if (typeof status === 'number') return status;
    throw thrown;
  }
}
