// From the command line to an exit code: parses, makes the context, runs the command.
import { findConfig, shortPath } from '../config/locate.ts';
import { exitCodeOf, TunnelError } from '../errors.ts';
import { processFacts } from '../files/process-facts.ts';
import { shellWord } from '../model/shell-word.ts';
import { version } from '../model/version.ts';
import { placesOf } from '../paths.ts';
import { complainOf, createContext } from './context.ts';
import { Interrupted, type Context, type GlobalOptions, type Prompter } from '../client/context.ts';
import { ownConfigMeant } from '../client/own-config.ts';
import type { Run } from './command.ts';
import { parseCommandLine, type Parsed } from './parse.ts';
import { systemFailure } from '../files/errno.ts';

const noOptions: GlobalOptions = {
  config: undefined,
  json: false,
  quiet: false,
  verbose: false,
  color: undefined,
};

/** The one at the terminal, loaded with the first question: most commands ask none. */
function lazyPrompter(context: Context): Prompter {
  let loaded: Promise<Prompter> | null = null;
  const prompter = (): Promise<Prompter> =>
    (loaded ??= import('./prompt.ts').then(({ createPrompter }) => createPrompter(context)));
  return {
    question: async (...asked) => (await prompter()).question(...asked),
    line: async (...asked) => (await prompter()).line(...asked),
    confirm: async (...asked) => (await prompter()).confirm(...asked),
  };
}

/** Answers the exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  let parsed: Parsed;
  try {
    parsed = parseCommandLine(argv, configFile);
  } catch (thrown) {
    const context = await createContext(noOptions, lazyPrompter);
    return exitCodeOf(complainOf(context, thrown).code);
  }
  const context = await createContext(parsed.globals, lazyPrompter);
  const { command, wants, args } = parsed;
  if (wants === 'version') {
    context.out(version);
    return 0;
  }
  if (wants === 'help' || command === null) {
    const help = await import('./help.ts');
    context.out(command === null ? help.mainHelp(context.paint) : help.commandHelp(command, context.paint));
    return 0;
  }
  try {
    const { run } = (await import(`./commands/${command.name}.ts`)) as { readonly run: Run };
    const own = await ownConfigMeant(context, {
      selectors: /SEL|^NAME$/.test(command.words) ? args.words : [],
      adhoc: command.name === 'keep' || (args.sshWords.length > 0 && command.name !== 'add'),
    });
    if (own === null) return await run(context, args);
    return await run(await createContext({ ...parsed.globals, config: own }, lazyPrompter), args);
  } catch (thrown) {
    if (thrown instanceof Interrupted) return thrown.exitCode;
    return exitCodeOf(complainOf(context, systemFailure(inCommand(thrown, argv), command.name)).code);
  }
}

/** As a person writes it; the default place where there is none yet. */
function configFile(): string {
  const facts = processFacts();
  const places = placesOf(facts);
  try {
    return shellWord(shortPath(findConfig(places, facts, undefined).path, facts));
  } catch {
    return shellWord(shortPath(places.defaultConfig, facts));
  }
}

/** "did you mean db?" knows the name only; here is the command it was meant in. */
function inCommand(thrown: unknown, argv: readonly string[]): unknown {
  if (!(thrown instanceof TunnelError) || thrown.code !== 'NO_SUCH_TUNNEL') return thrown;
  const { hint } = thrown;
  if (hint === null || typeof hint === 'string' || !('meant' in hint) || !argv.includes(hint.insteadOf))
    return thrown;
  const meant = argv.map((word) => shellWord(word === hint.insteadOf ? hint.meant : word)).join(' ');
  return new TunnelError(thrown.code, thrown.message, { hint: `tunnel ${meant}    # did you mean that?` });
}
