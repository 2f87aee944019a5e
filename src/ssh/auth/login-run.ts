// A login from the first request to the last: which credential is next, after each word of the server (RFC 4252 5.1).
import { formatLogin, type AuthMethod } from '../../model/host.ts';
import type { Agent } from '../../keys/agent.ts';
import type { KeyRing } from './key-ring.ts';
import { noneRequest } from './requests.ts';
import { offerHost, readHostbasedKeys } from './hostbased.ts';
import type { KeyFile } from './key-files.ts';
import { begin, remark, settle, type Scene, type StepEnd } from './login-scene.ts';
import type { Offer, Offers } from './offers.ts';
import { refusalOfHost } from './refusals.ts';
import { createPasswords, noteMissingPassword, type Passwords } from './passwords.ts';
import {
  answerQuestions,
  noteMissingAnswer,
  startInteractive,
  type InteractiveMemory,
} from './interactive.ts';
import { offerKey } from './key.ts';
import { offerPassword } from './password.ts';

interface Progress {
  readonly passwords: Passwords;
  readonly interactive: InteractiveMemory;
  /** Public blobs (base64) that the server has answered for. */
  readonly answered: Set<string>;
  /** Offers that led to nothing. */
  readonly spent: Set<Offer>;
  interactiveRuns: number;
  /** The `none` request is still to be sent, and nothing of the last login says that it would be in vain. */
  asksNone: boolean;
  noneTried: boolean;
  hostKeys: KeyFile[] | null;
  partials: number;
}

interface Step {
  readonly method: AuthMethod;
  run(): Promise<StepEnd>;
}

const mostInteractiveRuns = 4;
/** A server that is never content is left. */
const mostPartials = 8;

/**
 * True when the server let us in. Rejects with ConnectionGone when the link ends. `none` comes first, as with ssh: a
 * server may take nothing else and end the connection at any other request; the keys are looked at after it.
 */
export async function runLogin(scene: Scene, gather: () => Promise<KeyRing>): Promise<boolean> {
  const progress: Progress = {
    passwords: createPasswords(scene),
    interactive: startInteractive(),
    answered: new Set(),
    spent: new Set(),
    interactiveRuns: 0,
    asksNone: scene.last === null && !scene.context.onlyProven,
    noneTried: false,
    hostKeys: null,
    partials: 0,
  };
  if (progress.asksNone && (await askNone(scene, progress)).kind === 'success') return true;
  const { offers, agent } = await gather();
  if (scene.wire.proof !== null && offers.agent.length > 0) await bind(scene, agent);
  for (;;) {
    const step = progress.asksNone ? null : await nextStep(scene, progress, offers, agent);
    const end = step === null ? await lastQuestion(scene, progress) : await step.run();
    if (end.kind === 'success') return true;
    if (end.kind === 'stop' || (step === null && end.kind === 'skipped')) return false;
    if (end.kind === 'failure') heed(scene, progress, end, step);
  }
}

/** Keys that are bound to a destination (ssh-add -h) sign only for a connection the agent was told of. */
async function bind(scene: Scene, agent: Agent | null): Promise<void> {
  const { proof, sessionId } = scene.wire;
  if (agent === null || proof === null) return;
  await agent.bind(proof.hostKey, sessionId, proof.signature).catch(() => false); // most keys need none of it
}

/** Nothing is left to offer: `none`, where it was left out so far, may still do, or tells what the server takes by now. */
async function lastQuestion(scene: Scene, progress: Progress): Promise<StepEnd> {
  if (progress.noneTried || scene.context.onlyProven || scene.notes.accepted.length > 0)
    return { kind: 'skipped' };
  return askNone(scene, progress);
}

async function askNone(scene: Scene, progress: Progress): Promise<StepEnd> {
  progress.asksNone = false;
  progress.noneTried = true;
  begin(scene, null);
  const reply = await scene.wire.request('none', noneRequest(scene.host.user));
  settle(scene, reply.kind === 'success' ? reply : { kind: 'failure', methods: [], partial: false });
  if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
  if (reply.kind === 'failure') learn(scene, reply.methods);
  return reply;
}

function heed(
  scene: Scene,
  progress: Progress,
  end: Extract<StepEnd, { kind: 'failure' }>,
  step: Step | null,
): void {
  learn(scene, end.methods);
  if (end.partial) {
    progress.partials += 1;
    progress.interactiveRuns = 0;
    return;
  }
  // the server does not do as it did: it may have come to want less
  const refused = scene.notes.refused.at(-1);
  if (!progress.noneTried && !scene.context.onlyProven && refused !== undefined)
    progress.asksNone = scene.last?.refused.has(refused) === false;
  // refused as a method, not as a key: it may be wanted after another one (AuthenticationMethods password,publickey)
  const keyStep = step?.method === 'agent' || step?.method === 'publickey';
  if (keyStep && !end.methods.includes('publickey')) progress.answered.clear();
}

function learn({ notes }: Scene, methods: readonly string[]): void {
  notes.methods = methods;
  notes.firstMethods ??= methods;
}

async function nextStep(
  scene: Scene,
  progress: Progress,
  offers: Offers,
  agent: Agent | null,
): Promise<Step | null> {
  if (progress.partials > mostPartials) return null;
  for (const method of scene.host.auth) {
    const wire = method === 'agent' ? 'publickey' : method;
    if (method !== 'none' && scene.notes.methods?.includes(wire) === false) continue;
    const step = await stepOf(method, scene, progress, offers, agent);
    if (step !== null) return step;
  }
  return null;
}

async function stepOf(
  method: AuthMethod,
  scene: Scene,
  progress: Progress,
  offers: Offers,
  agent: Agent | null,
): Promise<Step | null> {
  switch (method) {
    case 'none':
      if (progress.noneTried || scene.context.onlyProven) return null;
      return { method, run: () => askNone(scene, progress) };
    case 'agent':
      return keyStep(method, offers.agent, scene, progress, agent);
    case 'publickey': {
      // an identity that is only in the agent counts as a key file when `agent` is not among the methods
      const selected = scene.host.auth.includes('agent') ? [] : offers.agent;
      return keyStep(method, [...selected, ...offers.files], scene, progress, agent);
    }
    case 'keyboard-interactive':
      return interactiveStep(scene, progress);
    case 'password':
      return passwordStep(scene, progress);
    case 'hostbased':
      return hostbasedStep(scene, progress);
  }
}

function keyStep(
  method: 'agent' | 'publickey',
  offers: readonly Offer[],
  scene: Scene,
  progress: Progress,
  agent: Agent | null,
): Step | null {
  const { onlyProven } = scene.context;
  const open = (offer: Offer): boolean =>
    !progress.spent.has(offer) &&
    !(offer.wire !== null && progress.answered.has(offer.wire.blob.toString('base64'))) &&
    (!onlyProven ||
      (offer.credential !== null && scene.parts.proven.has(formatLogin(scene.host), offer.credential)));
  const offer = offers.find(open);
  if (offer === undefined) return null;
  return {
    method,
    async run() {
      const end = await offerKey(scene, offer, agent);
      if (offer.wire === null || end.kind === 'skipped' || end.kind === 'stop') progress.spent.add(offer);
      else progress.answered.add(offer.wire.blob.toString('base64'));
      // what the server took is never offered twice, whatever it says of methods
      if (end.kind === 'failure' && end.partial) progress.spent.add(offer);
      return end;
    },
  };
}

function interactiveStep(scene: Scene, progress: Progress): Step | null {
  const { host, context } = scene;
  const { passwords, interactive } = progress;
  if (context.onlyProven || progress.interactiveRuns >= mostInteractiveRuns || interactive.declined)
    return null;
  const totp = host.totp !== null && !interactive.totpSpent;
  const person = context.personPresent() && interactive.refusals < 3 && !passwords.declined;
  // the server asks the same again, and what there was to say without a person has been said
  if (!person && progress.interactiveRuns > 0) return null;
  if (!totp && !passwords.stored() && !(person && (interactive.refusals > 0 || passwords.available()))) {
    if (!context.personPresent()) progress.interactiveRuns = mostInteractiveRuns;
    return null;
  }
  return {
    method: 'keyboard-interactive',
    async run() {
      progress.interactiveRuns += 1;
      const end = await answerQuestions(scene, passwords, interactive);
      // it asks what nobody here can answer: asking again would change nothing
      if (end.kind === 'skipped') progress.interactiveRuns = mostInteractiveRuns;
      return end;
    },
  };
}

function passwordStep(scene: Scene, progress: Progress): Step | null {
  if (scene.context.onlyProven || progress.passwords.declined || !progress.passwords.available()) return null;
  return { method: 'password', run: () => offerPassword(scene, progress.passwords) };
}

async function hostbasedStep(scene: Scene, progress: Progress): Promise<Step | null> {
  if (scene.context.onlyProven || scene.spurned.has(refusalOfHost)) return null;
  progress.hostKeys ??= [...(await readHostbasedKeys(scene))];
  const key = progress.hostKeys.shift();
  return key === undefined ? null : { method: 'hostbased', run: () => offerHost(scene, key) };
}

/** What a person could still have answered, had one been there: what status then shows. */
export function notePerson(scene: Scene): void {
  const { host, context, notes } = scene;
  if (context.onlyProven || context.personPresent()) return;
  const wanted = (method: AuthMethod): boolean =>
    host.auth.includes(method) && notes.methods?.includes(method) === true;
  if (notes.obstacles.some(({ question }) => question !== null)) return;
  if (wanted('password') && !notes.secretRefused)
    noteMissingPassword(scene, `Password for ${formatLogin(scene.host)}`);
  else if (wanted('keyboard-interactive') && !notes.secretRefused)
    noteMissingAnswer(scene, 'keyboard-interactive');
  else if (notes.secretRefused) remark(scene, 'nobody is here to type another');
}
