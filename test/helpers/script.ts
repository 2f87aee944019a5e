// How the scripts beside the product (chaos, soak, fuzz, bench) are called: `--help` shows their usage, and words that mean nothing
// to them are told in a sentence, with the usage.

export interface Script<Asked> {
  readonly usage: string;
  /** Throws RangeError with a sentence, or what `parseArgs` throws, for words that mean nothing. */
  readonly read: (argv: readonly string[]) => Asked;
  /** Resolves to the exit code. */
  readonly run: (asked: Asked) => Promise<number>;
}

/** Sets the exit code of this process: 2 for words that mean nothing. */
export async function runScript<Asked>({ usage, read, run }: Script<Asked>): Promise<void> {
  const argv = process.argv.slice(2);
  if (argv.includes('--help') || argv.includes('-h')) {
    console.log(usage);
    return;
  }
  let asked: Asked;
  try {
    asked = read(argv);
  } catch (thrown) {
    if (!(thrown instanceof Error) || !isAboutWords(thrown)) throw thrown;
    // parseArgs goes on with advice about arguments that none of the scripts take
    console.error(`${thrown.message.split('. To specify ')[0]}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  process.exitCode = await run(asked);
}

function isAboutWords(error: Error & { readonly code?: unknown }): boolean {
  return error instanceof RangeError || String(error.code).startsWith('ERR_PARSE_ARGS_');
}
