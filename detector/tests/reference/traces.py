"""The prototype's volume.run1 and timing.run1 once more, line by line, showing what they hold on the way (make.py).

Names are the prototype's, so the two can be read side by side. `basefn` and `llr` are its own.
"""

import math

import numpy as np
import timing
from volume import DN, UP, WS, basefn, llr

B = 90 * 1440.0
OPT = np.array([1.0, 0.1, 1.0, 24.0, 1.0, 1.0, 20.0, 3.0, 1.0, 1.0, 2.0, 0.02])
Z, DELTA, _, LOCK_HOURS, _, _, A0, _, _, _, U, TAU2 = OPT
LNUP, LNDN = np.log(UP), np.log(DN)


def pot(days, width, ex, sx, sxx):
    """The lines of volume.run1 under `for d in range(2)` at mi==0."""
    lam = (ex + 1.0) / (days + 1.0 / (1440.0 / width * math.exp(-U)))
    x = lam * 6.0 * B / 1440.0
    s0 = 1 + 2 * math.exp(-days / 14.0)
    a = A0 + ex
    s = max((A0 * s0 + sx) / a, (A0 * s0**2 + sxx * 0.5) / (A0 * s0 + sx))
    return lam, a, s, U + a * s * (x ** (1.0 / a) - 1.0) if x > 1 else U


class VolumeTrace:
    """volume.run1 with the options above, without the baselines (variants 0..4 and 7). Names are the prototype's."""

    STATE = """b v bo bnx bpv L bi m mh ml af_u af_d num den fn fd phn phd xw wn wm wh wl wb Su Sd EX SX SXX cyc thr days
        NA EA SA dayn daym N E NL EL EH pl lock ln_ le_ hn""".split()

    def __init__(self, prior):
        m0 = prior / 60.0
        self.prior, self.t, self.alarms, self.over, self.days_rows = prior, 0, [], np.zeros((3, 2), int), []
        self.xw, self.af_u, self.af_d = np.ones(3), np.ones(3), np.ones(3)
        self.phn, self.phd = np.zeros(3), np.full(3, 30.0)
        self.den = 30 * (m0 * WS) ** 2
        self.num = 3.0 * self.den
        self.fn, self.fd = np.array([30.0 * max(1.0, 3.0 * m0 * w * 0.3) for w in WS]), np.full(3, 30.0)
        self.wn, self.wm, self.wh, self.wl, self.wb = (np.zeros(3) for _ in range(5))
        self.Su, self.Sd = np.zeros((3, 5)), np.zeros((3, 3))
        self.EX, self.SX, self.SXX, self.cyc, self.thr = (np.zeros((3, 2)) for _ in range(5))
        self.N, self.E, self.NL, self.EL, self.EH, self.pend = np.zeros(168), np.zeros(168), 0.0, 0.0, 0.0, []
        self.NA = self.EA = self.SA = self.dayn = self.daym = self.days = self.hn = self.ln_ = self.le_ = 0.0
        self.lock, self.mute = -1, {5: 0, 6: 0}

    @property
    def pl(self):
        return len(self.pend)

    def base(self, hw, invr):
        return basefn(self.N, self.E, hw % 168, self.prior, 1.0, 1.0, 1.5, 1.5, TAU2, invr)

    def hour(self):  # `if mi==0`
        hw = (self.t // 60) % 168
        invr = max(self.num[2] / self.den[2], 1e-3)
        self.b, self.v, self.bo = self.base(hw, invr)
        self.bnx, self.bpv = self.base(hw + 1, invr)[0], self.base(hw + 167, invr)[0]
        self.L = (self.NL + 12.0 * self.b) / (self.EL + 12.0 * self.b)
        self.v += (1 / max(self.b, 0.01) + invr) / (self.EH + 12.0)
        for k in range(3):
            for d in range(2):
                self.thr[k, d] = pot(self.days, WS[k], self.EX[k, d], self.SX[k, d], self.SXX[k, d])[3]

    def excursion_ends(self, k, d):
        z = min(self.cyc[k, d], self.thr[k, d] * 1.5) - U
        self.EX[k, d] += 1
        self.SX[k, d] += z
        self.SXX[k, d] += z * z
        self.cyc[k, d] = 0.0

    def shape(self, k):
        """1/r_eff of the read, and the one that clips the moments at a close (`r` and `rc_`)."""
        width, el = WS[k], self.t % WS[k] + 1
        r = rc = self.den[k] / max(self.num[k], 1e-3 * self.den[k])
        fa = max(self.fn[k] / self.fd[k], 0.0)
        if el < width and k > 0:  # an open window: log-interpolated between the scales around its elapsed time
            i = 0 if el < 10 else 1
            w = math.log(el) / math.log(10.0) if el < 10 else math.log(el / 10.0) / math.log(6.0)
            ia, ib = (max(self.num[j] / self.den[j], 1e-3) for j in (i, i + 1))
            r = min(r, 1 / math.exp((1 - w) * math.log(ia) + w * math.log(ib)))
            fa, fb = (max(self.fn[j] / self.fd[j], 1e-4) for j in (i, i + 1))
            fa = fa ** (1 - w) * fb**w
        mp = max(self.wm[k] + self.m, 1e-3)
        r = min(r, max(mp / max(fa, 1e-6), 1e-3))
        return r, min(rc, r)

    def learn_window(self, k, rc):  # `if close: if not locked`, before the window is zeroed
        gam, wn, wm, wb = 0.5 ** (WS[k] / (14 * 1440.0)), self.wn[k], self.wm[k], self.wb[k]
        q = min((wn - wm) ** 2, 36 * (wm + wm**2 / rc) + 4) - wm
        self.fn[k] = self.fn[k] * gam + q / max(wm, 0.05) * min(1.0, wm / 0.05)
        self.fd[k] = self.fd[k] * gam + 1.0
        self.num[k] = self.num[k] * gam + q
        self.den[k] = self.den[k] * gam + wm**2
        self.num[k] = max(self.num[k], 1e-3 * self.den[k])
        y, wt = min(wn / max(wb, 1e-6), 30.0), wb / (1 + wb)
        self.phn[k] = self.phn[k] * gam + wt * (self.xw[k] - 1) * (y - 1)
        self.phd[k] = self.phd[k] * gam + wt * (self.xw[k] - 1) ** 2
        self.xw[k] += 0.25 * (y - self.xw[k])
        fac = 1 + min(max(self.phn[k] / self.phd[k], 0.0), 0.95) * (self.xw[k] - 1)
        self.af_u[k], self.af_d[k] = max(1.0, fac), min(1.0, fac)

    def minute(self, c):
        """One turn of `for t in range(T)`. Returns what was read, before any window closed."""
        t, mi = self.t, self.t % 60
        if mi == 0:
            self.hour()
        f = (mi + 0.5) / 60.0
        self.bi = self.b * (1 - (0.5 - f)) + self.bpv * (0.5 - f) if f < 0.5 else self.b * (1 - (f - 0.5)) + self.bnx * (f - 0.5)
        self.m = m = self.L * self.b / 60.0
        hi, lo = max(self.b, self.bi, self.bo), min(self.b, self.bi, self.bo)
        se = min(Z * math.sqrt(self.v), 3.0)
        self.mh = self.L * hi / 60.0 * math.exp(se) * (1 + DELTA)
        self.ml = self.L * lo / 60.0 * math.exp(-se) / (1 + DELTA)
        self.days += 1 / 1440.0
        self.hn += c
        locked, a5, a6 = t < self.lock, False, False
        # The prototype reads and closes scale by scale, so 10 and 60 min read what 1 min has just learned.
        read = {name: [] for name in "af_u af_d num den fn fd phn phd xw r wn wm wh wl llr_up llr_dn gu gd".split()}
        for k in range(3):
            r, rc = self.shape(k)
            self.wn[k] += c
            self.wm[k] += m * (self.af_u[k] if self.af_u[k] > 1 else self.af_d[k])
            self.wb[k] += m
            self.wh[k] += self.mh * self.af_u[k]
            self.wl[k] += self.ml * self.af_d[k]
            up = [llr(self.wn[k], self.wh[k], UP[j], LNUP[j], r) for j in range(5)]
            dn = [llr(self.wn[k], self.wl[k], DN[j], LNDN[j], r) for j in range(3)]
            gu, gd = max(self.Su[k] + up) - math.log(5), max(self.Sd[k] + dn) - math.log(3)
            for name in "af_u af_d num den fn fd phn phd xw wn wm wh wl".split():
                read[name].append(getattr(self, name)[k])
            for name, x in ("r", r), ("llr_up", up), ("llr_dn", dn), ("gu", gu), ("gd", gd):
                read[name].append(x)
            a5 |= max(gu, gd) > math.log(6.0 * B / WS[k])
            for d, g in enumerate((gu, gd) if not locked else ()):
                assert min(abs(g - x) for x in (self.thr[k, d], U, U / 2)) > 1e-9, "the last digits decide: take another stream"
                if g > self.thr[k, d]:
                    a6 = True
                    self.over[k, d] += self.mute[6] <= t
                if g > U:
                    self.cyc[k, d] = max(self.cyc[k, d], g)
                elif g < U * 0.5 and self.cyc[k, d] > 0:
                    self.excursion_ends(k, d)
            if (t + 1) % WS[k] == 0:
                self.Su[k], self.Sd[k] = np.maximum(0.0, self.Su[k] + up), np.maximum(0.0, self.Sd[k] + dn)
                if not locked:
                    self.learn_window(k, rc)
                self.wn[k] = self.wm[k] = self.wh[k] = self.wl[k] = self.wb[k] = 0
        self.alarm(5, a5, 60)
        self.alarm(6, a6, int(LOCK_HOURS * 60))
        if a6:
            self.lock, self.ln_, self.le_ = t + int(LOCK_HOURS * 60), 0.0, 0.0
            for k, d in zip(*np.nonzero(self.cyc > 0)):
                self.excursion_ends(k, d)
            self.pend[-3:] = [(h, n, False) for h, n, _ in self.pend[-3:]]
        if locked:
            self.ln_ += c
            self.le_ += m
        if t == self.lock:  # ruled benign: the level is re-seeded from what was seen while locked
            if self.le_ > 0:
                ratio = min(max(self.L * self.ln_ / self.le_, 0.02 * self.L), 50.0 * self.L)
                self.NL, self.EL, self.EH = ratio * 60 * self.b, 60 * self.b, 6.0
            self.Su[:], self.Sd[:] = 0, 0
        self.daym += m / self.L
        self.dayn += c
        if (t + 1) % 1440 == 0:
            self.close_day()
        if mi == 59:
            self.close_hour(locked)
        self.t += 1
        return read

    def alarm(self, variant, now, mute):
        if now:
            if self.mute[variant] <= self.t:
                self.alarms.append([self.t, variant])
            self.mute[variant] = self.t + mute

    def close_day(self):
        dayn, daym, r = self.dayn, self.daym, self.den[2] / max(self.num[2], 1e-3 * self.den[2]) * 4
        score = 0.0
        if self.EA > 5:
            score = max(llr(dayn, self.NA / self.EA * daym * 1.5, 1.4, math.log(1.4), r), -50.0)
            self.SA = max(0.0, self.SA + score)
            if self.SA > math.log(B / 1440.0 * 4):
                self.alarms.append([self.t, 8])
                self.SA = 0.0
        g = 0.5 ** (1 / 56.0) if self.t > 14 * 1440 else 1.0
        self.NA = self.NA * g + (dayn / daym if daym > 0 else 0.0)
        self.EA = self.EA * g + 1.0
        self.days_rows.append([self.t, dayn, daym, r, score, self.NA, self.EA, self.SA])
        self.dayn = self.daym = 0.0

    def close_hour(self, locked):
        if not locked:
            delay = int(min(24.0, self.t / 60.0 / 8.0))
            self.pend.append(((self.t // 60) % 168, self.hn, True))
            while self.pend and (len(self.pend) > delay or len(self.pend) >= 24):
                h, n, ok = self.pend.pop(0)
                if ok:
                    bb = self.base(h, 0.1)[0]
                    self.N[h] = self.N[h] * 0.89 + n
                    self.E[h] = self.E[h] * 0.89 + self.L
                    g = 0.5 ** (1 / 72.0)
                    self.NL, self.EL, self.EH = self.NL * g + n, self.EL * g + bb, self.EH * g + 1
        self.hn = 0.0


class TimingTrace:
    """timing.run1 with ktemp = 1. Names are the prototype's; p after a name means the phase model's."""

    STATE = "C0 C1 C2 S EX SX SXX cyc thr med prevb P sc Sp EXp SXp SXXp cycp thrp mute mp".split()

    def __init__(self, t0):
        n = timing.NB
        self.C0, self.C1, self.C2 = np.full((2, n), 0.5), np.full((2, n), 0.5 / n), np.full((2, n), 1.0 / n)
        self.S, self.Sp, self.mute, self.mp, self.alarms = np.zeros(4), np.zeros(2), 0, 0, []
        self.EX = self.SX = self.SXX = self.cyc = self.EXp = self.SXp = self.SXXp = self.cycp = 0.0
        self.thr = self.thrp = 99.0
        self.med, self.prevb, self.P, self.sc, self.t0, self.before, self.i = 0.0, 10, 0.0, 0.1, t0, t0, 0

    @staticmethod
    def threshold(days, rate, ex, sx, sxx, u=4.0, a0=20.0):
        lam = (ex + 1.0) / (days + 1.0 / (rate * math.exp(-u)))
        x, a = lam * 2 * 90.0, a0 + ex
        s = max((a0 + sx) / a, (a0 + sxx * 0.5) / (a0 + sx))
        return u + a * s * (x ** (1 / a) - 1) if x > 1 else u

    def excursion(self, p, g, alarm):
        """The three-way `if` after each statistic: an alarm, an excursion going on, or one that ends."""
        cyc, thr, ends = getattr(self, "cyc" + p), getattr(self, "thr" + p), False
        if alarm:
            cyc, ends = max(g, cyc), True
        elif g > 4.0:
            setattr(self, "cyc" + p, max(cyc, g))
        elif cyc > 0 and g < 2.0:
            ends = True
        if ends:
            z = min(cyc, 1.5 * thr) - 4.0
            for name, x in (("EX", 1), ("SX", z), ("SXX", z * z)):
                setattr(self, name + p, getattr(self, name + p) + x)
            setattr(self, "cyc" + p, 0.0)

    def event(self, now):
        """One turn of `for i in range(1,n)`. Returns what was read, with the scores before an alarm zeroes them."""
        self.i += 1
        i, n = self.i, timing.NB
        g = max(now - self.before, 1e-3)
        self.before = now
        lg = math.log2(g * 1000.0)
        # A clock of whole microseconds must not put an event into another bin than the prototype's seconds do.
        assert lg < 1e-9 or abs(lg - round(lg)) > 1e-6, f"gap {g} lies on the edge of a bin"
        b = min(n - 1, max(0, int(lg)))
        st = 0 if self.prevb < self.med else 1
        C0, C1, C2 = self.C0[st], self.C1[st], self.C2[st]
        tot0, tot1, tot2 = C0.sum(), C1.sum(), C2.sum()
        lo, hi = C0[max(b - 1, 0)], C0[min(b + 1, n - 1)]
        p0 = max(0.75 * C0[b] / tot0 + 0.25 * C2[b] / tot2, 0.1 * (lo + hi) / 2 / tot0)
        p1 = 0.9 * C1[b] / tot1 + 0.1 / n
        z = (lg - 13.0) / 1.7
        ph = 0.9 * math.exp(-0.5 * z * z) / (1.7 * 2.5066) + 0.1 / n
        pm = 0.9 / 8 if b < 8 else 0.1 / 22
        self.S = np.maximum(0.0, self.S + [math.log(p / p0) for p in (p1, 1.0 / n, ph, pm)])
        G = self.S.max() - math.log(4)
        el = (now - self.t0) / 86400.0
        if i % 50 == 0:
            rate = i / max(el, 1e-3)
            self.thr = self.threshold(max(el, 1e-3), rate, self.EX, self.SX, self.SXX)
            self.thrp = self.threshold(max(el, 1e-3), rate, self.EXp, self.SXp, self.SXXp)
            nominal = math.log(2 * 90.0 * rate)
        else:
            nominal = math.log(2 * 90.0 * i / max(el, 1e-3))
        if i > 50 and G > nominal and self.mute <= i:
            self.alarms.append([i, 0])
            self.mute = i + 20
        assert min(abs(G - x) for x in (nominal, self.thr, 0.6 * self.thr, 4.0, 2.0)) > 1e-9, "the last digits decide"
        read = dict(st=st, lg=lg, b=b, tot0=tot0, tot1=tot1, tot2=tot2, p0=p0, p1=p1, ph=ph, pm=pm, S=self.S, G=G, thr=self.thr)
        alarm = i > 50 and G > self.thr
        self.excursion("", G, alarm)
        if alarm:
            self.alarms.append([i, 1])
            self.S = np.zeros(4)
        learn = not G > 0.6 * self.thr
        if self.P == 0.0:
            self.P = g
        k = max(1.0, np.round(g / self.P))  # half to even
        res = g / self.P - k
        if k <= 4:
            p0p = 0.97 * math.exp(-abs(res) / self.sc) / (2 * self.sc) + 0.03
            p2p = 0.97 * math.exp(-abs(res) / (self.sc / 4)) / (2 * self.sc / 4) + 0.03
            self.Sp = np.maximum(0.0, self.Sp + [math.log(1.0 / p0p), math.log(p2p / p0p)])
            w = 0.01 if i > 200 else 1.0 / (i + 1)
            self.P *= math.exp(w * max(-0.05, min(0.05, res / k)))
            self.sc = max(self.sc + w * (min(abs(res), 4 * self.sc + 0.001) - self.sc), 1e-3)
        else:
            self.Sp = np.array([max(0.0, self.Sp[0] + 1.0), self.Sp[1]])
        Gp = self.Sp.max() - math.log(2.0)
        read |= dict(k=k, res=res, P=self.P, sc=self.sc, Sp=self.Sp, Gp=Gp, thrp=self.thrp)
        alarm = Gp > self.thrp and i > 200 and self.mp <= i and self.sc < 0.12
        self.excursion("p", Gp, alarm)
        if alarm:
            self.alarms.append([i, 2])
            self.mp = i + 50
            self.Sp = np.zeros(2)
        if learn:
            self.C0[st] *= 1 - 1 / 4000.0
            self.C2[st] *= 1 - 1 / 200.0
            self.C0[st, b] += 1
            self.C2[st, b] += 1
        self.C1[st] *= 1 - 1 / 30.0
        self.C1[st, b] += 1
        self.med += 0.02 * ((b > self.med) - (b < self.med))
        self.prevb = b
        return read | {name: getattr(self, name) for name in "EX SX SXX cyc EXp SXp SXXp cycp med".split()}
