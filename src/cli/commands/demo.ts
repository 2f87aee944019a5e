// `tunnel demo`: the real program in a throwaway world, with an outage. Exit 0 only if all it shows really happened.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { exchange, isRefused } from '../../demo/client.ts';
import { createSandbox, type Sandbox } from '../../demo/sandbox.ts';
import { TunnelError } from '../../errors.ts';
import type { StatusDocument, TunnelStatus } from '../../model/status.ts';
import { placesOf, type PlaceFacts } from '../../paths.ts';
import { renderStatus } from '../../render/status.ts';
import { formatElapsed } from '../../render/units.ts';
import { noWords, type Args, type CommandSpec, type Run } from '../command.ts';
import { Interrupted, type Context, type Interruption, type Prompter } from '../../client/context.ts';
import { introduceKey, trustPrompt } from '../prompt.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';
import { run as down } from './down.ts';
import { run as up } from './up.ts';

const patienceMs = 10_000;
const noArgs: Args = {
  sshWords: [],
  typed: [],
  words: [],
  behind: [],
  flag: () => false,
  text: () => undefined,
  durationMs: (_, otherwise) => otherwise,
};

export const spec: CommandSpec = {
  name: 'demo',
  words: '',
  takes: noWords,
  about: 'see it work: an own SSH server, an outage, a held connection',
  options: [{ name: 'yes', alias: 'y', about: 'answer the host key question with yes' }],
  examples: [['tunnel demo --yes', 'no network, no root, under 15 s']],
};

export const run: Run = async (context, args) => {
  using interruption = context.interruption();
  const began = performance.now();
  const code = await inSandbox(context, answerFor(context, args.flag('yes')), interruption);
  const end =
    code === 0 ? `It all happened, in ${formatElapsed(performance.now() - began)}` : 'The demo ends here';
  say(context, `\n${end}, and nothing of it is left.`);
  return code;
};

/** Plays, and clears everything away whatever comes. */
async function inSandbox(
  context: Context,
  prompter: Prompter | null,
  { signal }: Interruption,
): Promise<number> {
  const sandbox = await createSandbox(context.facts.tmpdir, context.facts.env);
  const inside = contextInside(context, sandbox, prompter);
  try {
    return await play(inside, sandbox, signal);
  } catch (thrown) {
    const reason: unknown = signal.reason;
    if (reason instanceof Interrupted) return reason.exitCode;
    throw thrown;
  } finally {
    await endSupervisor(inside);
    await sandbox[Symbol.asyncDispose]();
  }
}

/** The scenes. Answers the exit code of the first command that failed; throws where something did not happen. */
async function play(context: Context, sandbox: Sandbox, signal: AbortSignal): Promise<number> {
  setTheScene(context, sandbox);
  command(context, 'tunnel up');
  const code = await up(context, noArgs);
  if (code !== 0) return code;
  const { port } = await only(context);
  await firstExchange(context, sandbox, port, signal);
  await outage(context, sandbox, port, signal);
  command(context, 'tunnel status');
  const back = await showWhen(context, ({ state }) => state === 'up', signal);
  happened(back.reconnects === 1, 'one reconnect', `${back.reconnects}`);
  command(context, 'tunnel down');
  await down(context, noArgs);
  happened(await isRefused(port), 'the port to be free again', 'something still listens');
  return 0;
}

function setTheScene(context: Context, sandbox: Sandbox): void {
  heading(context, 'A world of its own');
  say(context, `Everything is in ${sandbox.folder}; no network but loopback.`);
  say(
    context,
    `An SSH server listens on 127.0.0.1:${sandbox.server.port}. Behind it is ${sandbox.target}: a service that`,
  );
  say(context, 'gives back in capitals what it gets, and that only the SSH server can reach.');
  say(context, '');
  say(context, context.paint.dim('tunnels.yaml'));
  for (const line of readFileSync(sandbox.config, 'utf8').trimEnd().split('\n'))
    say(context, context.paint.dim(`  ${line}`));
  heading(context, 'The tunnel comes up');
}

async function firstExchange(
  context: Context,
  sandbox: Sandbox,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  heading(context, 'A client uses it');
  const text = 'this is a test';
  say(context, `to 127.0.0.1:${port}  > ${text}`);
  const answer = await exchange(port, text, AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]));
  say(context, `from there${' '.repeat(String(port).length)}     < ${context.paint.bold(answer)}`);
  happened(answer === text.toUpperCase(), text.toUpperCase(), answer);
  happened(sandbox.server.logins === 1, 'one login on the server', `${sandbox.server.logins}`);
}

async function outage(context: Context, sandbox: Sandbox, port: number, signal: AbortSignal): Promise<void> {
  heading(context, 'The server is killed');
  await sandbox.server.stop();
  await until(context, ({ state }) => state !== 'up', signal);
  say(context, 'A client connects all the same, and is not refused: it is held.');
  const began = performance.now();
  const text = 'is anybody there?';
  say(context, `to 127.0.0.1:${port}  > ${text}`);
  let served = false;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const answer = exchange(port, text, limit).finally(() => (served = true));
  answer.catch(() => undefined); // awaited below
  await until(context, ({ forwards }) => forwards[0]?.held === 1, signal);
  await pause(1000, undefined, { signal }); // an outage that a person can see
  happened(!served, 'the client to be waiting', 'it was answered without a server');
  command(context, 'tunnel status');
  await showWhen(context, ({ state }) => state === 'retrying', signal);
  heading(context, 'The server is back');
  await sandbox.server.start();
  const got = await answer;
  say(
    context,
    `from there${' '.repeat(String(port).length)}     < ${context.paint.bold(got)}   (held, then served after ${formatElapsed(performance.now() - began)})`,
  );
  happened(got === text.toUpperCase(), text.toUpperCase(), got);
}

const documentOf = (context: Context): Promise<StatusDocument | null> =>
  ask(locateTarget(context), 'status', { selectors: [] });

async function only(context: Context): Promise<TunnelStatus & { readonly port: number }> {
  return onlyOf(await documentOf(context));
}

function onlyOf(document: StatusDocument | null): TunnelStatus & { readonly port: number } {
  const tunnel = document?.tunnels[0];
  if (tunnel === undefined) throw notSo('a supervisor with one tunnel', 'there is none');
  return { ...tunnel, port: Number(tunnel.forwards[0]?.listen.split(':').at(-1)) };
}

type Condition = (tunnel: TunnelStatus) => boolean;

async function until(context: Context, condition: Condition, signal: AbortSignal): Promise<StatusDocument> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const document = await documentOf(context);
    const tunnel = onlyOf(document);
    if (document !== null && condition(tunnel)) return document;
    if (performance.now() > deadline) throw notSo('another state', JSON.stringify(tunnel.state));
    await pause(30, undefined, { signal });
  }
}

/** Shows the very table in which the condition was met: a moment later there may be another state. */
async function showWhen(context: Context, condition: Condition, signal: AbortSignal): Promise<TunnelStatus> {
  const document = await until(context, condition, signal);
  for (const line of renderStatus(document, { now: context.now(), paint: context.paint })) context.out(line);
  return onlyOf(document);
}

/** Takes everything down and waits until the supervisor has gone; its folder is removed next. */
async function endSupervisor(context: Context): Promise<void> {
  const target = locateTarget(context);
  const running = await ask(target, 'status', { selectors: [] }).catch(() => null);
  if (running === null) return;
  await ask(target, 'shutdown', {}).catch(() => undefined); // it may be on its way out already
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await ask(target, 'status', { selectors: [] }).catch(() => null)) === null) return;
    await pause(30);
  }
}

/** A person where there is one; else yes, said aloud: the key is the demo's own. */
function answerFor(context: Context, yes: boolean): Prompter | null {
  if (context.interactive && !yes) return null;
  const why = yes ? '--yes' : 'no terminal: the demo made this key and trusts it';
  const decline = (): Promise<{ kind: 'declined' }> => Promise.resolve({ kind: 'declined' });
  return {
    question(question) {
      if (question.kind !== 'host-key') return decline();
      for (const line of introduceKey(question)) context.say(line);
      context.say(`${trustPrompt}yes   (${why})`);
      return Promise.resolve({ kind: 'answered', value: 'yes' });
    },
    line: decline,
    confirm: decline,
  };
}

function contextInside(context: Context, sandbox: Sandbox, prompter: Prompter | null): Context {
  const facts: PlaceFacts = {
    ...context.facts,
    env: sandbox.env,
    home: sandbox.env['HOME'] ?? sandbox.folder,
  };
  return {
    ...context,
    facts,
    places: placesOf(facts),
    options: { ...context.options, config: undefined, json: false },
    prompter: () => prompter ?? context.prompter(),
    interactive: true,
  };
}

const say = (context: Context, line: string): void => context.out(line);

function heading(context: Context, text: string): void {
  say(context, `\n${context.paint.bold(text)}`);
}

function command(context: Context, line: string): void {
  say(context, `${context.paint.dim('$')} ${context.paint.cyan(line)}`);
}

function happened(so: boolean, expected: string, found: string): void {
  if (!so) throw notSo(expected, found);
}

const notSo = (expected: string, found: string): TunnelError =>
  new TunnelError('INTERNAL', `demo failed: expected ${expected}, but ${found}`);
