"""How a model trains in stages, each of which is a program of its own."""

import contextlib
import itertools

from keras import ops

from keras_gen import engine


class InStages:
    """Placed before `GenerativeModel`: a model that runs other parts of itself as training goes on.

    What a program consists of must be known when it is made, so the stage of a step is a Python
    value. It follows from the train steps taken, which are counted in a variable of the model and
    so saved and resumed with it. Where the stage changes, in the middle of an epoch or of a call
    of several steps, the train function is made anew, once.

    The family writes `stage_at(step)`, and its steps, `call` and `sample` ask for `stage`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps_taken = self._state("steps_taken")
        self._stage = None  # of the program that runs, or is being made
        self._program = None, None  # the stage of the last train steps, and its train function
        self._next_step = 0  # of the train function, which must not ask the device at each step

    def stage_at(self, step):
        """The stage of a train step, a value that can be compared; `step` counts from 0."""
        raise NotImplementedError

    @property
    def stage(self):
        """The stage of the step that is being taken; between steps, that of the last one."""
        return self._last_stage() if self._stage is None else self._stage

    @property
    def step(self):
        """Steps taken before the one that is being taken; between steps, before the last one."""
        here = self.steps_taken.value
        return here if self._stepping and self._training else ops.maximum(here - 1, 0)

    def _last_stage(self):
        return self.stage_at(max(engine.peek(self.steps_taken) - 1, 0))

    @contextlib.contextmanager
    def _in(self, stage):
        outer, self._stage = self._stage, stage
        try:
            yield
        finally:
            self._stage = outer

    @contextlib.contextmanager
    def _attending(self, training):
        by_hand = self._stage is None  # and not in a function that Keras calls
        begins = by_hand and training
        stage = self.stage_at(engine.peek(self.steps_taken)) if begins else self.stage
        with self._in(stage), super()._attending(training):
            yield
            if training:
                self.steps_taken.assign_add(1)

    # -- The functions that Keras calls -------------------------------------------------------

    def make_train_function(self, force=False):
        self._next_step = engine.peek(self.steps_taken)
        if self.train_function is None or force:
            self._program = None, None
            self.train_function = self._train_stage_by_stage

    def _train_stage_by_stage(self, *arguments):
        """Steps on the next batches: in JAX's trainer `(state, batches) -> (logs, state)`."""
        *state, source = arguments
        batches = list(itertools.islice(source, self.steps_per_execution))
        if not batches:
            raise StopIteration
        numbered = enumerate(batches, self._next_step)
        for stage, group in itertools.groupby(numbered, lambda pair: self.stage_at(pair[0])):
            part = [batch for _, batch in group]
            with self._in(stage):
                result = self._program_of(stage)(*state, iter(part))
            state = result[1:] if state else state
            self._next_step += len(part)
        return result

    def _program_of(self, stage):
        made_for, program = self._program
        if program is None or made_for != stage:
            super().make_train_function(force=True)
            program, self.train_function = self.train_function, self._train_stage_by_stage
            self._program = stage, program
        return program

    def make_test_function(self, force=False):
        self._make_for_the_last_stage("test_function", super().make_test_function, force)

    def make_predict_function(self, force=False):
        self._make_for_the_last_stage("predict_function", super().make_predict_function, force)

    def _make_for_the_last_stage(self, name, make, force):
        stage, function = self._last_stage(), getattr(self, name)
        if function is not None and function.stage == stage and not force:
            return
        make(force=True)
        plain = getattr(self, name)

        def staged(*arguments):
            with self._in(stage):
                return plain(*arguments)

        staged.stage = stage
        setattr(self, name, staged)

    def export(self, *args, **kwargs):
        with self._in(self._last_stage()):
            return super().export(*args, **kwargs)

    def reset_metrics(self):
        super().reset_metrics()
        # An epoch begins, and a callback may have put other weights back.
        self._next_step = engine.peek(self.steps_taken)
