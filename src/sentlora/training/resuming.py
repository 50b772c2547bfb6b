"""A Trainer whose checkpoints are whole or known not to be, and that goes on from one as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from sentlora.errors import CheckpointError
from sentlora.training.checkpoints import begin, fault_of, finish, read_record, thin_out
from sentlora.training.disk import writing


class ResumableTrainer(Trainer):
    """A Trainer with other checkpoints; what is in them stays upstream's.

    Attributes:
        made_with: What has to be the same for another run to go on from a checkpoint; kept in each.
        lasting: Whether the folder of the run is one that the user named.
    """

    made_with: dict[str, str | float] = {}  # noqa: RUF012  replaced as a whole, never changed
    lasting = True
    _saved: str | None = None
    _tr_loss: torch.Tensor
    _globalstep_last_logged: int

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial))
        place = folder / f"checkpoint-{self.state.global_step}"
        limit = self.args.save_total_limit
        with writing(place, lasting=self.lasting):
            self._check_that_folder_is_there(folder)
            if self.args.should_save:
                begin(place)
            self.accelerator.wait_for_everyone()
            # Upstream removes older ones before this one is whole, and counts those that are not.
            self.args.save_total_limit = None
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.save_total_limit = limit
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                # A mean over an epoch is made of sums since its start, which upstream forgets.
                loss = [self._tr_loss.item(), self._globalstep_last_logged]
                finish(place, {"made_with": self.made_with, "loss": loss})
        if self.args.should_save:
            thin_out(folder, limit, with_best=bool(self.args.load_best_model_at_end))
        self._saved = place.name

    def _check_that_folder_is_there(self, folder: Path) -> None:
        if self._saved is None or folder.is_dir():
            return
        raise CheckpointError(
            f"The folder {str(folder)!r} is gone, and with it the checkpoints up to {self._saved}. Train again, and "
            "let nothing remove it until then."
        )

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        resume_from_checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        done: tuple[int, int] = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        if resume_from_checkpoint is None:
            return done
        start = Path(resume_from_checkpoint)
        self._saved = start.name
        if self.state.best_global_step:
            # Upstream noted the whole path; the folder may have been moved since.
            self.state.best_model_checkpoint = str(start.with_name(f"checkpoint-{self.state.best_global_step}"))
        if self.args.world_size == 1:
            self.add_callback(_LossSoFar(self, read_record(start).get("loss")))
        if self.state.global_step >= max_steps or self._stopped_early():
            return num_train_epochs, 0  # upstream would go on for one step, or for one epoch
        return done

    def _stopped_early(self) -> bool:
        """Give early stopping back its count, and tell whether it ends the run."""
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                # A run without early stopping may be gone on with by one that has it.
                kept = self.state.stateful_callbacks.setdefault("EarlyStoppingCallback", callback.state())
                callback.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]
                return bool(callback.early_stopping_patience_counter >= callback.early_stopping_patience)
        return False

    def _load_best_model(self) -> None:
        best = Path(str(self.state.best_model_checkpoint)).with_name(f"checkpoint-{self.state.best_global_step}")
        if (fault := fault_of(best)) is not None:
            raise CheckpointError(
                f"The best epoch ended at step {self.state.best_global_step}, and {str(best)!r} {fault}: its weights "
                "are lost. Train again, and let nothing touch the folder until then."
            )
        super()._load_best_model()


class _LossSoFar(TrainerCallback):
    """Gives back the sum of losses since the last row of the table."""

    def __init__(self, trainer: ResumableTrainer, loss: list[Any] | None) -> None:
        self._trainer, self._loss = trainer, loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._loss is not None:
            self._trainer._tr_loss += self._loss[0]
            self._trainer._globalstep_last_logged = self._loss[1]
