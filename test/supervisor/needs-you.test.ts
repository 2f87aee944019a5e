// What waits for a person: kept errors, what ends a block, questions and who may answer them.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import type { PendingQuestion } from '../../src/model/question.ts';
import { Secret } from '../../src/model/secret.ts';
import type { Person } from '../../src/supervisor/engine.ts';
import { settle } from '../helpers/fake-clock.ts';
import type { PendingDial } from '../helpers/fake-ssh.ts';
import { lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import {
  hostOf,
  local,
  offTerminal,
  onTerminal,
  tunnelOf,
  withEnvironment,
  worldOf,
} from '../helpers/fake-world.ts';
import type { World } from '../helpers/fake-world.ts';
import { hinting } from '../helpers/hint.ts';

const katie = hostOf('katie');
const db = tunnelOf('db', [katie], local(1));
const minute = 60_000;
const unknownKey = (): TunnelError => new TunnelError('HOST_KEY_UNKNOWN', 'host key unknown, on it');
const forever = (): AbortSignal => new AbortController().signal;

class Terminal implements Person {
  readonly asked: PendingQuestion[] = [];
  readonly gone: string[] = [];
  readonly banners: string[] = [];

  question(question: PendingQuestion): void {
    this.asked.push(question);
  }

  withdrawn(id: string): void {
    this.gone.push(id);
  }

  banner(host: string, text: string): void {
    this.banners.push(`${host}: ${text}`);
  }
}

const passphrase: Omit<PendingQuestion, 'id' | 'link'> = {
  kind: 'passphrase',
  host: 'katie',
  text: 'Passphrase for ~/.ssh/id_ed25519',
  echo: false,
  fingerprint: null,
  endpoint: 'me@katie.example:22',
  keyType: null,
  randomart: [],
  fromServer: false,
  tries: 0,
};

/** A dial that asks, and fails by its own cause when nobody answers. */
function asks(dial: PendingDial): Promise<string> {
  return dial.context.ask(passphrase).then(
    (answer) => `answer ${answer === null ? 'none' : answer.reveal()}`,
    async (error: Error) => {
      await dial.fail(new TunnelError('KEY_UNREADABLE', 'key unreadable, on id_ed25519: locked'));
      return `refused ${error.message}`;
    },
  );
}

async function blockedWorld(error: TunnelError, host = katie): Promise<World> {
  const world = await worldOf(tunnelOf('db', [host], local(1)));
  await world.up('db');
  await world.dialer.dialTo().fail(error);
  return world;
}

describe('a kept error', () => {
  test('is given at once off a terminal, and nothing is tried', async () => {
    const world = await blockedWorld(refused());
    expect(world.one('db')).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
    world.engine.up(['db'], offTerminal);
    const settled = await world.engine.settled('db', forever());
    expect(settled).toMatchObject({ code: 'AUTH_REFUSED' });
    await world.clock.advance(minute);
    expect(world.dialer.dialCount).toBe(1);
    expect(world.ports.at('127.0.0.1:1').view).toEqual({ state: 'blocked', personPresent: false });
  });

  test('ends when a person is there, on restart, and on down', async () => {
    const world = await blockedWorld(refused());
    await world.up('db', onTerminal);
    await world.dialer.dialTo().fail(refused());
    await world.engine.restart(['db'], offTerminal);
    await settle();
    await world.dialer.dialTo().fail(refused());
    await world.engine.down(['db'], 0);
    await world.up('db');
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
    expect(world.dialer.dialCount).toBe(4);
  });

  test('ends when a credential changes, and only then', async () => {
    const world = await blockedWorld(new TunnelError('AGENT_DOWN', 'agent down'));
    await world.clock.advance(10 * minute);
    expect(world.dialer.dialCount).toBe(1);
    world.dialer.digest = 'a key was added';
    await world.clock.advance(2_000);
    expect(world.dialer.dialCount).toBe(2);
    expect(world.dialer.dialTo().context.onlyProven).toBe(false);
  });

  test('ends at once when a credential changed while the login was under way', async () => {
    const world = await worldOf(db);
    await world.up('db');
    world.dialer.digest = 'a key was added meanwhile';
    await world.dialer.dialTo().fail(refused());
    expect(world.dialer.dialTo().context.onlyNew).toBe(true);
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
  });

  test('ends with the up that brings a variable while the login without it is under way', async () => {
    const host = hostOf('katie', { password: { from: 'env', name: 'DB_PASS' } });
    const world = await worldOf(tunnelOf('db', [host], local(1)));
    await world.up('db');
    world.engine.up(['db'], withEnvironment({ variables: { DB_PASS: 'x' }, agentSockets: [] }));
    const settled = world.engine.settled('db', forever());
    await world.dialer.dialTo().fail(new TunnelError('SECRET_MISSING', 'DB_PASS is not set'));
    const dial = world.dialer.dialTo();
    expect(dial.context.environment.variables).toEqual({ DB_PASS: 'x' });
    await dial.open();
    expect(await settled).toBeNull();
  });

  test('offers nothing a second time that was refused, when something else changed', async () => {
    const world = await worldOf(db);
    await world.up('db');
    world.dialer.dialTo().context.refused?.add('a key');
    await world.dialer.dialTo().fail(refused());
    world.dialer.digest = 'another key was added';
    await world.clock.advance(2_000);
    const { onlyNew, refused: before } = world.dialer.dialTo().context;
    expect({ onlyNew, before: [...(before ?? [])] }).toEqual({ onlyNew: true, before: ['a key'] });
    await world.dialer.dialTo().fail(refused());
    await world.engine.restart(['db'], offTerminal);
    await settle();
    const fresh = world.dialer.dialTo().context;
    expect([fresh.onlyNew, fresh.refused?.size]).toEqual([false, 0]);
  });

  test('a change that leads to nothing does not put the slow retry off', async () => {
    const world = await blockedWorld(refused());
    await world.clock.advance(4 * minute);
    world.dialer.digest = 'another key was added';
    await world.clock.advance(2_000);
    await world.dialer.dialTo().fail(refused());
    await world.clock.advance(minute - 2_000);
    expect(world.dialer.dialTo().context.onlyProven).toBe(true);
  });

  test('is not retried all day long by circumstances that never stand still', async () => {
    const world = await blockedWorld(refused());
    for (let second = 0; second < 600; second += 1) {
      world.dialer.digest = `another ${second}`;
      await world.clock.advance(1_000);
      for (const dial of Array.from(world.dialer.dials)) await dial.fail(refused());
    }
    expect(world.dialer.dialCount).toBeLessThan(20);
  });

  test('of a missing variable ends with the up that brings it, which waits for the verdict', async () => {
    const host = hostOf('katie', { password: { from: 'env', name: 'DB_PASS' } });
    const world = await blockedWorld(new TunnelError('SECRET_MISSING', 'DB_PASS is not set'), host);
    await settle();
    world.engine.up(['db'], withEnvironment({ variables: { DB_PASS: 'x' }, agentSockets: ['/new'] }));
    const settled = world.engine.settled('db', forever());
    await settle();
    const dial = world.dialer.dialTo();
    expect(dial.context.environment).toEqual({ variables: { DB_PASS: 'x' }, agentSockets: ['/new'] });
    await dial.open();
    expect(await settled).toBeNull();
  });

  test('of a refused key is tried again with proven credentials after 5, 15, then every 30 min', async () => {
    const world = await blockedWorld(refused());
    const looks: number[] = [];
    for (let look = 0; look < 4; look += 1) {
      const inMs = Date.parse(world.one('db').retryAt ?? '') - world.clock.now();
      looks.push(inMs / minute);
      await world.clock.advance(inMs);
      expect(world.dialer.dialTo().context.onlyProven).toBe(true);
      await world.dialer.dialTo().fail(refused());
    }
    expect(looks).toEqual([5, 15, 30, 30]);
  });

  test('a slow retry that meets a dead network stays with proven credentials', async () => {
    const world = await blockedWorld(refused());
    await world.clock.advance(5 * minute);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(minute);
    expect(world.dialer.dialTo().context.onlyProven).toBe(true);
  });

  test('is not retried where auth_retry is off', async () => {
    const world = await blockedWorld(refused(), hostOf('katie', { authRetry: false }));
    expect(world.one('db').retryAt).toBeNull();
    await world.clock.advance(60 * minute);
    expect(world.dialer.dialCount).toBe(1);
  });

  test('of a host key is looked at again after a wake, a recheck, another key store and every 15 min', async () => {
    const world = await blockedWorld(unknownKey());
    const again = async (): Promise<void> => {
      await settle();
      await world.dialer.dialTo().fail(unknownKey());
    };
    world.engine.lookAround('woke');
    await again();
    world.engine.recheck(['katie']);
    await again();
    world.engine.recheck(['another']);
    await settle();
    expect(world.dialer.dials).toHaveLength(0);
    world.dialer.digest = 'trusted now';
    await world.clock.advance(2_000);
    await again();
    await world.clock.advance(15 * minute);
    await again();
    expect(world.dialer.dialCount).toBe(5);
  });

  test('of a refused login does not end with a wake', async () => {
    const world = await blockedWorld(refused());
    world.engine.lookAround('woke');
    world.engine.recheck([]);
    await settle();
    expect(world.dialer.dialCount).toBe(1);
  });

  test('of a refused login ends when its host is named, with what is new alone', async () => {
    const world = await blockedWorld(refused());
    world.engine.recheck(['katie']);
    await settle();
    expect(world.dialer.dialTo().context.onlyNew).toBe(true);
  });

  test('of an unknown key ends with --accept-new, which is for that command alone', async () => {
    const world = await blockedWorld(unknownKey());
    world.engine.up(['db'], { ...offTerminal, acceptNew: true });
    const waiting = new AbortController();
    const settled = world.engine.settled('db', waiting.signal);
    await settle();
    expect(world.dialer.dialTo().context.acceptNew).toBe(true);
    await world.dialer.dialTo().fail(unreachable());
    waiting.abort();
    await settled;
    await world.clock.advance(5_000);
    expect(world.dialer.dialTo().context.acceptNew).toBe(false);
  });
});

describe('questions', () => {
  test('reach who attends, stand in the status, and the answer goes on with the login', async () => {
    const world = await worldOf(db);
    const terminal = new Terminal();
    world.engine.attend(['db'], terminal);
    await world.up('db', onTerminal);
    const dial = world.dialer.dialTo();
    expect(dial.context.personPresent()).toBe(true);
    dial.context.banner('Authorized use only.');
    const outcome = asks(dial);
    await settle();
    const { id } = terminal.asked[0] as PendingQuestion;
    expect(terminal.banners).toEqual(['katie: Authorized use only.']);
    expect(world.one('db')).toMatchObject({
      state: 'needs-you',
      error: { code: 'KEY_UNREADABLE' },
      question: { kind: 'passphrase', host: 'katie', echo: false, text: passphrase.text, fingerprint: null },
    });
    expect(world.ports.at('127.0.0.1:1').view).toEqual({ state: 'blocked', personPresent: true });
    expect(world.engine.answer(id, new Secret('open sesame'), terminal)).toBe(true);
    expect(await outcome).toBe('answer open sesame');
    expect(world.engine.answer(id, new Secret('late'))).toBe(false);
    expect(terminal.gone).toEqual([]);
    expect(world.one('db')).toMatchObject({ state: 'connecting', question: null });
    await dial.open();
    expect(world.one('db').state).toBe('up');
  });

  test('are refused at once when nobody is there, and stay visible', async () => {
    const world = await worldOf(db);
    await world.up('db');
    expect(await asks(world.dialer.dialTo())).toMatch(/^refused/);
    await settle();
    expect(world.one('db')).toMatchObject({
      state: 'needs-you',
      error: { code: 'KEY_UNREADABLE' },
      question: { kind: 'passphrase' },
    });
  });

  test('are asked once for several tunnels on one link; the first answer wins, the others are told', async () => {
    const world = await worldOf(db, tunnelOf('web', [katie], local(2)));
    const first = new Terminal();
    const second = new Terminal();
    world.engine.attend(['db', 'web'], first);
    world.engine.up(['db', 'web'], onTerminal);
    await settle();
    const outcome = asks(world.dialer.dialTo());
    await settle();
    world.engine.attend(['web'], second);
    expect([first.asked.length, second.asked.length]).toEqual([1, 1]);
    expect(world.engine.status(['db', 'web']).map(({ state }) => state)).toEqual(['needs-you', 'needs-you']);
    world.engine.answer(second.asked[0]?.id ?? '', null, second);
    expect(await outcome).toBe('answer none');
    expect([first.gone.length, second.gone.length]).toEqual([1, 0]);
  });

  test('end when the last person leaves, and the login fails by its own cause', async () => {
    const world = await worldOf(db);
    const leave = [world.engine.attend(['db'], new Terminal()), world.engine.attend(['db'], new Terminal())];
    await world.up('db', onTerminal);
    const settled = world.engine.settled('db', forever());
    const outcome = asks(world.dialer.dialTo());
    await settle();
    leave[0]?.();
    await settle();
    expect(world.one('db').state).toBe('needs-you');
    leave[1]?.();
    expect(await outcome).toMatch(/^refused/);
    expect(await settled).toMatchObject({ code: 'KEY_UNREADABLE' });
  });

  test('are withdrawn by down', async () => {
    const world = await worldOf(db);
    const terminal = new Terminal();
    world.engine.attend(['db'], terminal);
    await world.up('db', onTerminal);
    const outcome = asks(world.dialer.dialTo());
    await settle();
    await world.engine.down(['db'], 0);
    await outcome;
    expect(terminal.gone).toEqual([terminal.asked[0]?.id]);
    expect(world.one('db')).toMatchObject({ state: 'down', question: null });
  });
});

describe('an attended link', () => {
  test('begins no login after a loss: it watches, and says when the server is back', async () => {
    const world = await worldOf(db);
    const leave = world.engine.attend(['db'], new Terminal());
    await world.up('db', onTerminal);
    const session = await world.dialer.dialTo().open(true);
    leave();
    await world.clock.advance(minute);
    session.end(lost());
    await settle();
    expect(world.dialer.dials).toHaveLength(0);
    await world.dialer.reaches[0]?.fail();
    await world.clock.advance(30_000);
    const transport = await world.dialer.reaches[0]?.answer();
    expect(transport?.destroyed).toBe(true);
    expect(world.one('db')).toMatchObject({
      state: 'needs-you',
      error: {
        message: 'katie is back and wants your second factor: tunnel up db',
        hint: hinting('tunnel up db'),
      },
    });
    await world.clock.advance(60 * minute);
    expect(world.dialer.dialCount).toBe(1);
    world.engine.attend(['db'], new Terminal());
    await world.up('db', onTerminal);
    await world.dialer.dialTo().open(true);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 1 });
  });

  test('that is known as such is not begun off a terminal at all', async () => {
    const world = await worldOf(tunnelOf('db', [hostOf('katie', { attended: true })], local(1)));
    await world.up('db');
    expect(world.dialer.dialCount).toBe(0);
    await world.dialer.reaches[0]?.answer();
    expect(world.one('db').error?.message).toBe('katie wants your second factor: tunnel up db');
  });

  test('behind a jump host is tried through it', async () => {
    const inner = hostOf('inner', { attended: true });
    const world = await worldOf(tunnelOf('db', [katie, inner], local(1)));
    await world.up('db');
    const session = await world.dialer.dialTo('katie').open();
    await settle();
    expect(session.channels).toHaveLength(1);
    expect(session.channels[0]?.closed).toBe(true);
    expect(world.one('db').state).toBe('needs-you');
  });

  test('that the config calls unattended is dialled whatever its login said', async () => {
    const world = await worldOf(tunnelOf('db', [hostOf('katie', { attended: false })], local(1)));
    await world.up('db');
    const session = await world.dialer.dialTo().open(true);
    await world.clock.advance(5_000);
    session.end(lost());
    await settle();
    expect(world.dialer.dials).toHaveLength(1);
  });
});
